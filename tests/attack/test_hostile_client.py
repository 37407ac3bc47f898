"""A client that has a certificate and no manners: every field of every message at its extremes,
then broken bytes by the hundred thousand. The service stays the same process, every answer is of a
canonical code with a reason and valid UTF-8, and what was stored is read back every way there is.
"""

import json
import os
import random
import subprocess

import pytest

import calls as hostile
import record
from support import proc
from support.grpc import CODES
from support.holdfast import bin_folder
from support.reflected import Answer, Client, Schema, reason

SERVICES = ["holdfast.backup.v1.BackupService", "holdfast.jobs.v1.JobService"]
TENANT = "tenants/default"
ORDERS = f"{TENANT}/clusters/orders"
NOTHING = "b20200101t000000-000000"
CALLS_LONG, CALLS_SHORT, TABLE_SHORT = 1_000_000, 4_000, 2_500
CALLS_SANITIZED = 30_000
IN_FLIGHT = 64
# What a process may grow by; a sanitizer keeps what was freed.
GROWTH_KB = (1024 if record.is_sanitized() else 192) * 1024
# Ends without ErrorInfo: gRPC itself, or the caller, ended the call.
WITHOUT_REASON = {"OK", "CANCELLED", "DEADLINE_EXCEEDED"}
FLAGS = dict.fromkeys(["CreateBackup", "VerifyBackup", "RebuildCatalog", "CreateRestore",
                       "CreateCluster", "RetryJob"], hostile.BEGINS_WORK)
# A broken one may name the cluster that all others need.
FLAGS |= dict.fromkeys(["UpdateCluster", "DeleteCluster"], hostile.IS_ONCE)


class Target:
    """An installation with one cluster, one backup, restores under way and a client."""

    def __init__(self, house, source):
        self.house = house
        house.add_cluster("orders", source)
        house.add_cluster("other", source)
        self.backup = house.backup("orders")["name"]
        self.endpoint, self.certs = house.endpoint(), house.certs()
        self.schema = Schema(self.endpoint, self.certs, SERVICES)
        self.client = Client(self.schema, self.endpoint, self.certs)
        made = [self.client("BackupService/CreateRestore", {"parent": ORDERS}).reply
                for _ in range(2)]
        self.restore, self.job = made[0].name, made[0].job
        self.pids = house.note_processes()

    def honest(self):
        """A request of each method that is right, or right but for what it names."""
        nowhere = f"host=127.0.0.1 port={proc.free_port()} user=holdfast dbname=postgres"
        system = self.house.hf("cluster", "describe", "orders")["systemIdentifier"]
        return {
            "CreateCluster": {"parent": TENANT, "clusterId": "hostile",
                              "cluster": {"dsn": nowhere}},
            "GetCluster": {"name": ORDERS}, "ListClusters": {"parent": TENANT},
            "UpdateCluster": {"name": f"{TENANT}/clusters/other", "cluster": {}},
            "DeleteCluster": {"name": f"{TENANT}/clusters/gone"}, "GetWalStatus": {"name": ORDERS},
            "CreateBackup": {"parent": ORDERS}, "GetBackup": {"name": self.backup},
            "ListBackups": {"parent": ORDERS},
            "DeleteBackup": {"name": f"{ORDERS}/backups/{NOTHING}"},
            "VerifyBackup": {"name": self.backup}, "CreateRestore": {"parent": ORDERS},
            "GetRestore": {"name": self.restore}, "ListRestores": {"parent": ORDERS},
            "DeleteRestore": {"name": self.restore},
            "ReportRestore": {"name": self.restore, "restore": {"state": "RUNNING"}},
            "ListVaultObjects": {"parent": ORDERS},
            "ReadVaultObject": {"parent": ORDERS, "object": "tenants/default/x"},
            "PushWal": {"parent": ORDERS, "file": "000000010000000000000001",
                        "segmentBytes": 16 << 20, "systemIdentifier": system},
            "RebuildCatalog": {"parent": TENANT}, "GetJob": {"name": self.job},
            "ListJobs": {"parent": TENANT}, "WatchJob": {"name": self.job},
            "CancelJob": {"name": f"{TENANT}/jobs/{NOTHING}"},
            "RetryJob": {"name": f"{TENANT}/jobs/{NOTHING}"},
        }

    def rss_kb(self):
        with open(f"/proc/{self.pids['backup']}/status", encoding="ascii") as file:
            return int(next(line for line in file if line.startswith("VmRSS")).split()[1])

    def same_processes(self):
        return self.house.info() and self.pids == self.house.note_processes()


@pytest.fixture(scope="module")
def target(house, start_server):
    made = Target(house, start_server())
    yield made
    made.client.close()


def encoded(schema, method, request):
    from google.protobuf import json_format
    return json_format.ParseDict(request, schema.message(method.input_type)()).SerializeToString()


def table(target):
    from google.protobuf import descriptor_pb2
    calls, honest = hostile.Calls(), target.honest()
    for method in target.schema.methods.values():
        proto = descriptor_pb2.MethodDescriptorProto()
        method.CopyToProto(proto)
        hostile.add_method(calls, method, encoded(target.schema, method, honest[method.name]),
                           is_stream=proto.server_streaming,
                           flags=FLAGS.get(method.name, 0))
    return calls


def sample(calls, count, seed):
    """Some of the table, in its order."""
    kept = sorted(random.Random(seed).sample(range(len(calls.rows)),
                                             min(count, len(calls.rows))))
    some = hostile.Calls()
    some.names = [calls.names[i] for i in kept]
    some.rows = [calls.rows[i] for i in kept]
    return some


def load(target, calls, folder, seed, count):
    """Runs the loader: (results of the prepared calls, its summary, lines about odd answers)."""
    cases, out = os.path.join(folder, "cases"), os.path.join(folder, "results")
    with open(cases, "wb") as file:
        file.write(calls.bytes())
    program = os.path.join(os.path.dirname(bin_folder()), "tests", "attack_loader")
    done = subprocess.run([program, target.endpoint, target.certs, cases, out, str(seed),
                           str(count), str(IN_FLIGHT)], stdout=subprocess.PIPE, timeout=1300,
                          check=True)
    *odd, last = done.stdout.decode(errors="backslashreplace").splitlines()
    with open(out, "rb") as file:
        return list(hostile.results(file.read())), json.loads(last), odd


def faults_of(target, calls, found):
    """What is wrong with the answers of prepared calls, by the call's name."""
    methods = {method.name: method for method in target.schema.methods.values()}
    for case, number, _, text, details, reply in found:
        name = calls.names[case]
        code = CODES[number]
        answer = Answer(code, text.decode(errors="strict"), details)
        if code in ("INTERNAL", "UNKNOWN"):
            yield name, f"{code}: {answer.message}"
        if code not in WITHOUT_REASON and not reason(answer):
            yield name, f"no reason: {code}: {answer.message}"
        if reply and len(reply) < 65536:
            target.schema.message(methods[name[0]].output_type).FromString(reply)


def read_back(target):
    """Everything that shows what was stored."""
    house = target.house
    for name in ("BackupService/ListClusters", "JobService/ListJobs"):
        assert target.client(name, {"parent": TENANT, "pageSize": 1000}).code == "OK", name
    for name in ("BackupService/ListBackups", "BackupService/ListRestores"):
        page = target.client(name, {"parent": ORDERS, "pageSize": 1000})
        assert page.code == "OK", f"{name}: {page.message}"
    for name in (target.restore, target.job):
        method = "JobService/GetJob" if "/jobs/" in name else "BackupService/GetRestore"
        assert target.client(method, {"name": name}).code == "OK"
    for words in (("cluster", "list"), ("cluster", "describe", "orders"), ("job", "list"),
                  ("backup", "list", "orders"), ("wal", "status", "orders"), ("info",)):
        json.dumps(house.hf(*words))
        shown = house.run(*words).stdout
        assert all(char in "\n\t" or ord(char) >= 32 and not 0x7F <= ord(char) < 0xA0
                   for char in shown), f"control characters in {words}"
    house.run("doctor", check=False)


def test_client__every_field_at_its_extremes_is_answered_and_read_back(
        target, folder, seed, is_long, attempts):
    calls = table(target)
    if not is_long:
        calls = sample(calls, TABLE_SHORT, seed)
    before = target.rss_kb()
    found, summary, odd = load(target, calls, folder, seed, len(calls.rows))
    attempts.figure("fields at their extremes", f"{summary['calls']:,} calls of "
                    f"{len({name[0] for name in calls.names})} methods")
    assert len(found) == len(calls.rows) == summary["calls"]
    faults = sorted(set(faults_of(target, calls, found)))
    assert not faults, "\n".join(map(str, faults[:40])) + f"\n{len(faults)} in all"
    assert not odd, "\n".join(odd)
    read_back(target)
    assert target.same_processes() and target.rss_kb() - before < GROWTH_KB
    for method in {name[0] for name in calls.names}:
        attempts.add("client", method, "each field at its extremes, framing, metadata, deadlines",
                     "a canonical code with a reason; stored values are read back", True)


def test_client__broken_bytes_by_the_hundred_thousand(target, folder, seed, is_long, attempts):
    calls = sample(table(target), 20_000, seed)
    count = CALLS_SHORT
    if is_long:
        count = CALLS_SANITIZED if record.is_sanitized() else CALLS_LONG
    if not is_long:
        calls = sample(calls, 200, seed + 1)
    before = target.rss_kb()
    _, summary, odd = load(target, calls, folder, seed, count)
    attempts.figure("hostile calls", f"{summary['calls']:,} in {summary['ms'] / 1000:.0f} s, "
                    f"{target.rss_kb() - before} KiB grown: " + ", ".join(
                        f"{name} {count:,}" for name, count in zip(CODES, summary["codes"]) if count))
    print(f"{summary['calls']} calls in {summary['ms'] / 1000:.0f} s: "
          f"{dict(zip(CODES, summary['codes']))}, {target.rss_kb() - before} KiB grown")
    assert summary["calls"] >= count and not odd, "\n".join(odd)
    read_back(target)
    assert target.same_processes() and target.rss_kb() - before < GROWTH_KB
    attempts.add("client", "every method", "1,000,000 calls, most of them broken", "0 crashes", True)


