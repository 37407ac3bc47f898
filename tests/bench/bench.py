#!/usr/bin/env python3
"""Full backup, second backup and restore of a seeded cluster, side by side with pgBackRest and
pg_basebackup, alternating, and docs/benchmarks.md written from what was measured.

    bench.py [--size-gb 5] [--runs 5] [--dir DIR] [--keep]
"""
import argparse
import os
import platform
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from measure import Measured, drop_caches  # noqa: E402
from peers import Holdfast, PgBackRest, PgBaseBackup, Source  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run_rounds(source, peers, runs):
    """{(peer, operation): [Measured, …]}, one operation of each peer after the other."""
    results = {}
    for number in range(runs):
        order = peers if number % 2 == 0 else list(reversed(peers))
        for peer in order:
            for operation, call in peer.operations(number):
                drop_caches()
                measured = call()
                results.setdefault((peer.name, operation), []).append(measured)
                print(f"run {number + 1} {peer.name:14} {operation:8} {measured}", flush=True)
            peer.cleanup(number)
    return results


def median(values):
    return statistics.median(values)


def row(results, peer, operation):
    runs = results.get((peer, operation))
    if not runs:
        return None
    wall = [m.wall for m in runs]
    return (f"| {peer} | {operation} | {median(wall):.1f} ({min(wall):.1f}–{max(wall):.1f}) "
            f"| {median([m.cpu for m in runs]):.1f} | {median([m.system_cpu for m in runs]):.1f} "
            f"| {median([m.stored for m in runs]) / 1e6:.1f} "
            f"| {median([m.memory for m in runs]) / 1e6:.0f} |")


def ratio(results, ours, theirs):
    a, b = results.get(ours), results.get(theirs)
    if not a or not b:
        return "not measured"
    return f"{median([m.wall for m in a]) / median([m.wall for m in b]):.2f}"


def zstd_tables(source):
    """Rows of the comparison of hash table sizes, for the tables and the indexes of the source."""
    lines = ["", "## Hash tables of zstd level 3 for blobs of 512 KiB", "",
             "`tests/bench/zstd_tables.c` over the source's largest files; time and size beside the "
             "library's choice (0), which is meant for long streams. The vault uses 15 and 15.", "",
             "| files | long, log2 | short, log2 | MB/s | ratio | time | size |",
             "|---|---|---|---|---|---|---|"]
    for kind, what in (("r", "tables"), ("i", "indexes")):
        lines += [f"| {what} | {' | '.join(row.split())} |"
                  for row in source.run_zstd_tables(kind).splitlines()]
    return lines


READING = "## Reading the figures"


def reading(path):
    """What a person wrote below the figures, to be kept."""
    try:
        with open(path, encoding="utf-8") as file:
            _, heading, text = file.read().partition(READING)
            return heading + text
    except FileNotFoundError:
        return ""


def report(results, source, arguments, idle):
    peers = ["holdfast", "pgbackrest", "pg_basebackup"]
    lines = [
        "# Benchmarks",
        "",
        "Made by `make bench` (`tests/bench/bench.py`). Whole commands, alternating, the page cache "
        "dropped before each, fsync as each tool does it by default, fast checkpoint, local disk; "
        f"median (min–max) of {arguments.runs} runs.",
        "",
        f"- machine: {os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}",
        f"- source: PostgreSQL {source.version()}, {source.size() / 1e9:.2f} GB: three tables of "
        "text, JSON, numbers and random ids from a seeded generator, 2,000 small tables",
        f"- pgBackRest {PgBackRest.version()}: process-max=2, zst level 3, aes-256-cbc, "
        "`--no-archive-check` (it stores no WAL here; holdfast waits for all WAL of the backup)",
        "- pg_basebackup: `-Ft -Z client-zstd:level=3,workers=2 -X none`, not encrypted",
        "- holdfast: remote mode, zstd level 3, AES-256-GCM, all WAL in the vault; `second` is a "
        "backup without change (remote mode reads everything)",
        "",
        "`CPU s` is the tool's own processes, `system CPU s` everything the machine spent, the "
        "source server included. Memory is the peak sum over the tool's processes (PSS), holdfast's "
        "private PostgreSQL and Redis listed apart.",
        "",
        "| tool | operation | wall s | CPU s | system CPU s | stored MB | peak memory MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for operation in ("full", "second", "restore"):
        lines += [r for r in (row(results, peer, operation) for peer in peers) if r]
    apart = max(m.apart for (peer, _), runs in results.items() if peer == "holdfast" for m in runs)
    lines += [
        "",
        f"Holdfast's private PostgreSQL and Redis together: at most {apart / 1e6:.0f} MB.",
        "",
        "## Ratios of wall time",
        "",
        "| what | ratio | aim |",
        "|---|---|---|",
        f"| full / pgBackRest full | {ratio(results, ('holdfast', 'full'), ('pgbackrest', 'full'))} "
        "| ≤ 1 |",
        "| full / pg_basebackup full | "
        f"{ratio(results, ('holdfast', 'full'), ('pg_basebackup', 'full'))} | ≤ 1.15 |",
        "| restore / pgBackRest restore | "
        f"{ratio(results, ('holdfast', 'restore'), ('pgbackrest', 'restore'))} | ≤ 1 |",
        "",
        "## Idle memory after the runs (PSS)",
        "",
    ]
    lines += [f"- {name}: {size / 1e6:.1f} MB" for name, size in idle]
    second = results.get(("holdfast", "second"))
    if second:
        rate = source.size() / median([m.wall for m in second]) / 1e6
        lines += ["", f"A second backup without change reads {rate:.0f} MB/s of the source."]
    lines += zstd_tables(source)
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-gb", type=float, default=5)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--dir", default="/var/tmp/holdfast-bench")
    parser.add_argument("--keep", action="store_true", help="leave the servers' directory")
    parser.add_argument("--out", default=os.path.join(ROOT, "docs", "benchmarks.md"))
    arguments = parser.parse_args()

    source = Source(os.path.join(arguments.dir, "source"), arguments.size_gb)
    peers = []
    try:
        source.start()
        peers = [Holdfast(arguments.dir, source), PgBackRest(arguments.dir, source),
                 PgBaseBackup(arguments.dir, source)]
        results = run_rounds(source, peers, arguments.runs)
        idle = peers[0].idle()
        text = report(results, source, arguments, idle)
        kept = reading(arguments.out)
        with open(arguments.out, "w", encoding="utf-8") as file:
            file.write(text + ("\n" + kept if kept else ""))
        print(f"written: {arguments.out}")
    finally:
        for peer in peers:
            peer.stop()
        source.stop(remove=not arguments.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
