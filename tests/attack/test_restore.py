"""Vaults made by whoever holds the key, restored and read in every other way, and a neighbour who
swaps directories above a restore for links. The programs are those of tests/unit/libs."""

import os
import time

import pytest

import record
from support import proc
from support.holdfast import bin_folder

ROUNDS = 300 if record.is_sanitized() else 2000
OUTSIDE = "nothing outside the target changes"
BOUNDED = "every reader ends in time, within 1 GiB, and names the object"


@pytest.mark.long  # the suites of unit tests run them, plain and sanitized
@pytest.mark.parametrize("program, role, place, what, expected", [
    ("restore_hostile", "key holder", "restore", "names, kinds, sizes, maps and labels made up",
     OUTSIDE),
    ("restore_race", "neighbour", "restore", "directories above the target swapped for links",
     OUTSIDE),
    ("keyed", "key holder", "points and journals",
     "bombs of zstd, lying sizes, counts, shards, tables, times; journals without end", BOUNDED),
    ("keyed_wal", "key holder", "WAL", "slices, clocks and paths that lie", BOUNDED),
])
def test_restore__holds_against(program, role, place, what, expected, attempts, seed):
    began = time.monotonic()
    path = os.path.join(os.path.dirname(bin_folder()), "tests", f"test_{program}_test")
    done = proc.run([path], check=False, timeout=1200,
                    env={**os.environ, "HOLDFAST_HOSTILE_SEED": str(seed),
                         "HOLDFAST_HOSTILE_ROUNDS": str(ROUNDS)})
    attempts.add(role, place, what, expected, done.returncode == 0)
    attempts.figure(f"{place}, {role}", f"{ROUNDS} rounds in {time.monotonic() - began:.0f} s")
    assert done.returncode == 0, done.stdout + done.stderr
