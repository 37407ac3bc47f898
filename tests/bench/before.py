#!/usr/bin/env python3
"""Ourselves beside ourselves: the programs of another commit against those of this tree, on one
source, in pairs, each operation of both right after another in alternating order. Writes its
section of docs/benchmarks.md.

    before.py PROGRAMS_OF_BEFORE [--size-gb 1] [--runs 7] [--dir DIR]
              [--keep]
"""
import argparse
import json
import os
import shutil
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from measure import children, cpu_of, drop_caches  # noqa: E402
from peers import BIN, PG, ROOT, USER, Holdfast, Source, run  # noqa: E402

HEADING = "## Beside an earlier commit"
SERVICE = "/holdfast.backup.v1.BackupService/"
CALLS = 2000
UNARY = (("GetCluster", "tenants/default/clusters/{}"), ("ListBackups", "tenants/default/clusters/{}"),
         ("GetCluster", "tenants/default/clusters/none"), ("GetCluster", "tenants/default"))


def programs_of(name, directory, source, programs):
    """A Holdfast whose command line and services are those of programs."""
    place = os.path.join(directory, name)
    os.makedirs(place, exist_ok=True)
    return Holdfast(place, source, programs=programs, name=name)


def tree_cpu(pids):
    """Of the processes, all that live below them and those of theirs that have ended."""
    return sum(cpu_of(child) for pid in pids for child in children(pid))


def wal_round(pair, source, results):
    """The same WAL through both receivers at once."""
    services = {peer.name: peer.pids()[0] for peer in pair}
    before = {name: tree_cpu(pids) for name, pids in services.items()}
    run([f"{PG}/pgbench", "-h", source.directory, "-p", str(source.port), "-U", USER, "-i", "-s", "25",
         "-q", "postgres"])
    source.sql("SELECT pg_switch_wal()")
    last = None
    for _ in range(60):
        time.sleep(1)
        now = {name: tree_cpu(pids) for name, pids in services.items()}
        if last and max(abs(now[name] - last[name]) for name in now) < 0.02:
            break
        last = now
    results.append({name: {"service CPU s": now[name] - before[name]} for name in now})


def figures(measured):
    return {"wall s": measured.wall, "CPU s": measured.cpu, "peak MB": measured.memory / 1e6}


def operations_round(pair, number, results):
    steps = {peer.name: dict(peer.operations_of("bench")) for peer in pair}
    for operation in ("full", "second", "restore"):
        order = pair if number % 2 == 0 else pair[::-1]
        row = {}
        for peer in order:
            drop_caches()
            row[peer.name] = figures(steps[peer.name][operation]())
            shutil.rmtree(os.path.join(peer.target, "bench"), ignore_errors=True)
        results[operation].append(row)


class Caller:
    """One channel with a certificate of its own."""

    def __init__(self, peer):
        info = json.loads(peer.call("info", "-o", "json"))
        client = peer.directory + "-caller"
        shutil.rmtree(client, ignore_errors=True)
        peer.call("certs", "issue", "bench", "--role", "admin", "--out", client)

        def read(name):
            with open(os.path.join(client, name), "rb") as file:
                return file.read()

        credentials = grpc.ssl_channel_credentials(read("ca.crt"), read("tls.key"), read("tls.crt"))
        self.channel = grpc.secure_channel(info["endpoints"]["backup"], credentials,
                                           [("grpc.use_local_subchannel_pool", 1)])
        services, apart = peer.pids()
        self.service, self.state = services, apart

    def many(self, method, name):
        """CALLS calls, one after the other: what one costs."""
        call = self.channel.unary_unary(SERVICE + method, lambda body: body, lambda body: body)
        request = b"\x0a" + bytes([len(name)]) + name.encode()
        before, state_before = tree_cpu(self.service), tree_cpu(self.state)
        times = []
        for _ in range(CALLS):
            start = time.monotonic()
            try:
                call(request, timeout=10)
            except grpc.RpcError:
                pass  # two of the four are refused, which is what they measure
            times.append(time.monotonic() - start)
        times.sort()
        return {"p50 µs": times[CALLS // 2] * 1e6,
                "service CPU µs": (tree_cpu(self.service) - before) / CALLS * 1e6,
                "PostgreSQL CPU µs": (tree_cpu(self.state) - state_before) / CALLS * 1e6}


def calls_round(callers, number, cluster, results):
    for method, form in UNARY:
        name = form.format(cluster)
        order = list(callers) if number % 2 == 0 else list(callers)[::-1]
        results[f"{method} of {name.rsplit('/', 1)[1]}"].append(
            {peer: callers[peer].many(method, name) for peer in order})


def rows_of(operation, rounds):
    """Medians of both, and the median of the pairs' ratios."""
    lines = []
    for figure in rounds[0]["before"]:
        pairs = [(r["before"][figure], r["now"][figure]) for r in rounds if r["before"][figure] > 0]
        if pairs:
            ratios = sorted(now / before for before, now in pairs)
            before, now = (statistics.median(side) for side in zip(*pairs))
            lines.append(f"| {operation} | {figure} | {before:.2f} | {now:.2f} "
                         f"| {statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f}) |")
    return lines


def write_section(path, heading, lines):
    """Replace or add one section of a document, which may be new."""
    with open(path, "a+", encoding="utf-8") as file:
        file.seek(0)
        before, found, after = file.read().partition(heading + "\n")
    _, more, rest = after.partition("\n## ")
    text = before.rstrip() + "\n\n" + heading + "\n\n" + "\n".join(lines) + "\n"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text + (more + rest if found and more else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", help="build/bin of the other commit")
    parser.add_argument("--commit", required=True, help="its name, for the document")
    parser.add_argument("--size-gb", type=float, default=1)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--dir", default="/var/tmp/holdfast-bench-before")
    parser.add_argument("--keep", action="store_true", help="leave the source's directory")
    parser.add_argument("--out", default=os.path.join(ROOT, "docs", "benchmarks.md"))
    arguments = parser.parse_args()

    source = Source(os.path.join(arguments.dir, "source"), arguments.size_gb)
    results = {key: [] for key in ("wal", "full", "second", "restore")}
    calls = {f"{method} of {form.format('bench').rsplit('/', 1)[1]}": [] for method, form in UNARY}
    pair = []
    try:
        source.start()
        for name, programs in (("before", arguments.programs), ("now", BIN)):
            pair.append(programs_of(name, arguments.dir, source, programs))
            pair[-1].add("bench")
        callers = {peer.name: Caller(peer) for peer in pair}
        for number in range(arguments.runs):
            wal_round(pair, source, results["wal"])
            operations_round(pair, number, results)
            calls_round(callers, number, "bench", calls)
            print(json.dumps({key: rounds[-1] for key, rounds in {**results, **calls}.items()}),
                  flush=True)
        lines = [f"`tests/bench/before.py PROGRAMS --commit {arguments.commit}`: one source of "
                 f"{source.size() / 1e9:.2f} GB, {arguments.runs} pairs; medians of both, and the "
                 "median (min–max) of the pairs' ratios, now ÷ before. WAL is the load of "
                 f"pgbench at scale 25, calls are {CALLS} in a row.", "",
                 f"| what | figure | {arguments.commit} | now | ratio |", "|---|---|---|---|---|"]
        for operation, rounds in {**results, **calls}.items():
            lines += rows_of(operation, rounds)
        write_section(arguments.out, HEADING, lines)
    finally:
        for peer in pair:
            peer.stop()
        source.stop(remove=not arguments.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
