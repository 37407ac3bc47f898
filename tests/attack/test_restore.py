"""Restores that others would like to lead elsewhere: vaults made by whoever holds the key, and a
neighbour who swaps directories for links. The programs are those of tests/unit/libs/restore."""

import os

import pytest

from support import proc
from support.holdfast import bin_folder

LONG_ROUNDS = 2000
SHORT_ROUNDS = 40


@pytest.mark.parametrize("program, place, what", [
    ("test_restore_hostile_test", "restore", "names, kinds, sizes, maps and labels made up"),
    ("test_restore_race_test", "restore", "directories above the target swapped for links"),
])
def test_restore__writes_nothing_outside(program, place, what, attempts, is_long, seed):
    role = "key holder" if "hostile" in program else "neighbour"
    rounds = LONG_ROUNDS if is_long else SHORT_ROUNDS
    path = os.path.join(os.path.dirname(bin_folder()), "tests", program)
    done = proc.run([path], check=False, timeout=1200,
                    env={**os.environ, "HOLDFAST_HOSTILE_SEED": str(seed),
                         "HOLDFAST_HOSTILE_ROUNDS": str(rounds)})
    attempts.add(role, place, what, "nothing outside the target changes", done.returncode == 0)
    assert done.returncode == 0, done.stdout + done.stderr
