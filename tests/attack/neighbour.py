"""A tenant's client that calls and measures until its standard input ends; see watch.Neighbour."""

import json
import os
import select
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.reflected import Client, Schema  # noqa: E402

SERVICES = ["holdfast.backup.v1.BackupService", "holdfast.jobs.v1.JobService"]
PAUSE_S = 0.02


def main():
    endpoint, certs, cluster = sys.argv[1:]
    tenant = {"parent": "tenants/rivals", "pageSize": 5}
    client = Client(Schema(endpoint, certs, SERVICES), endpoint, certs)
    calls = [("BackupService/ListClusters", tenant), ("JobService/ListJobs", tenant)]
    if cluster:
        calls += [("BackupService/GetCluster", {"name": cluster}),
                  ("BackupService/ListBackups", {"parent": cluster})]
    took, errors = [], []
    while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
        name, request = calls[len(took) % len(calls)]
        began = time.monotonic()
        answer = client(name, request, timeout=30)
        took.append((time.monotonic() - began) * 1000)
        if answer.code != "OK":
            errors.append(f"{name}: {answer.code} {answer.message}"[:300])
    took.sort()
    print(json.dumps({"calls": len(took), "errors": errors[:5], "failed": len(errors),
                      "p50_ms": round(took[len(took) // 2], 1),
                      "p99_ms": round(took[len(took) * 99 // 100], 1),
                      "max_ms": round(took[-1], 1)}))


if __name__ == "__main__":
    main()
