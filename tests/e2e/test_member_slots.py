"""A slot on every member of a DSN with several hosts: a promotion leaves no gap, nothing stays."""

import os
import signal

import pytest

from support import proc

SEGMENT = 16 << 20
# A server that recycles whatever no slot keeps.
LEAN = {"wal_keep_size": "0", "max_wal_size": "32MB", "min_wal_size": "32MB", "autovacuum": "off"}
ROWS = "select count(*), coalesce(sum(x), 0) from t"
SLOT = "select slot_name, restart_lsn - '0/0' from pg_replication_slots"


def lsn(pg):
    return int(pg.psql("select pg_current_wal_flush_lsn() - '0/0'"))


def slot(pg):
    """(name, restart LSN) of the one slot that is ours; None when there is none."""
    rows = pg.psql(SLOT).split()
    assert len(rows) <= 1, rows
    return (rows[0].split("|")[0], int(rows[0].split("|")[1] or 0)) if rows else None


def slots(*servers):
    return [slot(pg) is not None for pg in servers]


def churn(pg, standby=None):
    """Some segments of WAL, and checkpoints that let go of all that no slot keeps."""
    for _ in range(6):
        pg.psql("insert into t select generate_series(1, 50)")
        pg.psql("select pg_switch_wal()")
    pg.psql("checkpoint")
    if standby:
        catch_up(pg, standby)
        standby.psql("checkpoint")


def catch_up(pg, standby):
    end = lsn(pg)
    proc.wait_until(lambda: int(standby.psql("select pg_last_wal_replay_lsn() - '0/0'")) >= end,
                    what="a standby that caught up")


def has_segment(pg, timeline, at):
    name = f"{timeline:08X}{at >> 32:08X}{at % (1 << 32) // SEGMENT:08X}"
    return os.path.exists(os.path.join(pg.data, "pg_wal", name))


def wait_durable(house, pg):
    end = lsn(pg)
    proc.wait_until(lambda: int(pg.psql(
        f"select '{house.hf('wal', 'status', 'orders')['durableLsn']}'::pg_lsn - '0/0'")) >= end,
        what="all WAL in the vault", timeout=60, interval=0.2)


@pytest.fixture(scope="module")
def pair(house, start_server):
    """A primary and its standby, both lean, both in the DSN."""
    primary = start_server(**LEAN)
    primary.psql("create table t (x int)")
    standby = primary.standby(proc.new_folder("hf-pg-"), **LEAN)
    try:
        standby.start()
        hosts = ",".join(pg.folder for pg in (primary, standby))
        ports = ",".join(str(pg.port) for pg in (primary, standby))
        house.run("cluster", "add", "orders", "--dsn",
                  f"host={hosts} port={ports} user=holdfast dbname=postgres")
        primary.backup = house.backup("orders")["name"]
        yield primary, standby
    finally:
        standby.kill()
        proc.remove_folder(standby.folder)


def test_member_slots__are_made_and_moved_up(house, pair):
    primary, standby = pair
    proc.wait_until(lambda: slot(standby), what="a slot on the standby")
    assert slot(standby)[0] == slot(primary)[0]
    churn(primary, standby)
    wait_durable(house, primary)
    end = lsn(primary)
    proc.wait_until(lambda: slot(standby)[1] >= end - SEGMENT, what="a slot that moved up",
                    timeout=40, interval=0.2)


def test_member_slots__keep_what_a_promotion_needs(house, pair, restore):
    """The receiver stands still while the primary writes, dies, and the standby goes on alone."""
    primary, standby = pair
    service = house.note_processes()["backup"]
    os.kill(service, signal.SIGSTOP)
    try:
        churn(primary, standby)
        catch_up(primary, standby)
        primary.kill()
        standby.promote()
        churn(standby)
        restart = slot(standby)[1]
        assert lsn(standby) - restart > 8 * SEGMENT, "too little was written to prove anything"
        assert has_segment(standby, 1, restart) and not has_segment(standby, 1, restart - SEGMENT)
    finally:
        os.kill(service, signal.SIGCONT)
    rows = standby.psql(ROWS)
    wait_durable(house, standby)
    status = house.hf("wal", "status", "orders")
    assert status["timeline"] == 2 and status["gaps"] == []
    server = restore("orders", "--latest", "--backup", primary.backup).verify().start_promoted()
    assert server.psql(ROWS) == rows


def test_member_slots__down_names_each_and_remove_drops_each(house, pair):
    first, second = pair  # the second is the primary now; the first comes back as its standby
    first.destroy_data()
    second.tool("pg_basebackup", "-d", second.dsn("postgres"), "-D", first.data, "-R", "-X",
                "stream", "-c", "fast")
    first.settings["hot_standby"] = "on"
    first.start()
    assert slots(first, second) == [False, True]
    proc.wait_until(lambda: slots(first, second) == [True, True], what="a slot on each", timeout=40)
    said = house.down().stderr
    for pg in pair:
        assert f"{slot(pg)[0]} stays on {pg.folder}:{pg.port}" in said
    house.up()
    done = house.run("cluster", "remove", "orders")
    assert slots(first, second) == [False, False]
    assert "stays" not in done.stderr
