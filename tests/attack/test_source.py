"""A source lies: every lie of the tables, at `cluster add`, at a reconnect and in a backup.

What must hold each time: the service is the same process, its memory is bounded, call and job end in
time with a reason and a text that can be shown, the other source streams on, another tenant's calls
are quick, and the lane recovers by itself.
"""

import random

import pytest

import record
from lies_backup import LIES
from mutate import mutations
from source_world import DIED, World
from support import proc
from watch import latency_limit_ms, unclean

LANES = 8
SHORT_ATTEMPTS, SHORT_MUTATIONS = 24, 8
LONG_MUTATIONS = 100 if record.is_sanitized() else 500
MIB = 1 << 20
# Above what the service had with all lanes registered: 16 MiB for each lane that lies.
MEMORY_LIMIT = LANES * 16 * MIB


@pytest.fixture(scope="module")
def world(house, start_server):
    server = start_server(max_replication_slots=200, max_wal_senders=200, max_connections=300)
    made = World(house, server, LANES)
    yield made
    made.close()


def chosen(is_long, seed):
    """All of them, or a sample with each place in it, plain programs in each phase."""
    dice = random.Random(seed)
    attempts = [(lie, phase) for lie in LIES for phase in lie.phases]
    dice.shuffle(attempts)
    if is_long:
        return attempts
    places, sample = set(), []
    for lie, phase in attempts:
        kind = lie.place if record.is_sanitized() else (lie.place, phase)
        if kind not in places:
            places.add(kind)
            sample.append((lie, phase))
    return sample[:SHORT_ATTEMPTS]


def alone(world):
    """Those that were on when the service died, one after another: who did it?"""
    suspects, world.suspects = list(dict.fromkeys(world.suspects)), []
    return [attempt for attempt in suspects if world.lanes[0].play(*attempt) == DIED]


def told(tried, bad):
    for (lie, phase), problem in bad.items():
        print(f"  {lie.place}: {lie.what} ({phase}): {problem}")
    return f"{len(tried)} attempts, {len(bad)} bad"


def test_lies__are_a_hundred_and_each_has_a_name():
    names = [(lie.place, lie.what) for lie in LIES]
    assert len(set(names)) == len(names) >= 100


def play(world, tried):
    """All attempts on all lanes; what did not hold of which, and what the others saw."""
    neighbour = world.neighbour()
    world.process.reset_high()
    world.failures = []
    try:
        world.run(tried)
    finally:
        measured = neighbour.stop()
    high = world.process.note_memory()
    bad = {(lie, phase): problem for lie, phase, problem in world.failures}
    if world.suspects:
        bad.update({attempt: DIED for attempt in alone(world)})
    print(f"\n{told(tried, bad)}, {world.process.crashes} crashes; memory "
          f"{world.process.base // MIB} to {high // MIB} MiB; neighbour {measured}")
    return bad, high, measured


def note_figures(attempts, name, tried, bad, measured):
    attempts.figure(name, f"{len(tried)} attempts, {len(bad)} bad; another tenant's "
                    f"{measured['calls']} calls meanwhile: p50 {measured['p50_ms']} ms, "
                    f"p99 {measured['p99_ms']} ms, max {measured['max_ms']} ms")


def judge(world, bad, high, measured):
    assert not bad and world.process.crashes == 0
    assert measured["failed"] == 0, measured
    assert measured["p99_ms"] <= latency_limit_ms(), measured
    assert record.is_sanitized() or high - world.process.base <= MEMORY_LIMIT


def test_source__lies_and_only_its_own_call_or_job_fails(world, attempts, is_long, seed):
    tried = chosen(is_long, seed)
    bad, high, measured = play(world, tried)
    for lie, phase in tried:
        attempts.add("source", lie.place, lie.what, f"{lie.sees}: {', '.join(lie.phases)}",
                     (lie, phase) not in bad)
    note_figures(attempts, "lies of a source", tried, bad, measured)
    attempts.add("source", "all of them", "other tenants' calls meanwhile", "p99 within 100 ms",
                 measured["failed"] == 0 and measured["p99_ms"] <= latency_limit_ms())
    judge(world, bad, high, measured)


def test_source__says_random_things(world, attempts, is_long, seed):
    tried = list(mutations(seed, LONG_MUTATIONS if is_long else SHORT_MUTATIONS))
    bad, high, measured = play(world, tried)
    note_figures(attempts, "random lies of a source", tried, bad, measured)
    attempts.add("source", "all stages", "random mutations by the hundred", "refused or harmless",
                 not bad)
    judge(world, bad, high, measured)


def test_source__that_never_lied_streamed_on(world):
    world.server.psql("create table if not exists kept (n int); insert into kept values (1)")
    lsn = world.server.lsn()
    proc.wait_until(lambda: world.server.psql(
        f"select '{world.honest().wal.durable_lsn}'::pg_lsn >= '{lsn}'::pg_lsn") == "t",
        what="the honest source's WAL")


def test_source__leaves_nothing_on_the_screen_that_is_no_text(world):
    for words in (("info",), ("cluster", "list"), ("job", "list"), ("doctor",),
                  *(("cluster", "describe", lane.name) for lane in world.lanes)):
        done = world.house.run(*words, check=False)
        for line in (done.stdout + done.stderr).splitlines():
            assert not unclean(line), f"{words}: {unclean(line)}"
