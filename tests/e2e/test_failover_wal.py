"""The WAL stream follows a promotion: a DSN of two hosts, a new timeline, restores across it."""

import pytest

from support import proc

ROWS = "select count(*), coalesce(sum(x), 0) from t"


def multi_host(servers):
    hosts = ",".join(server.folder for server in servers)
    ports = ",".join(str(server.port) for server in servers)
    return f"host={hosts} port={ports} user=holdfast dbname=postgres"


def wait_streaming(house, pg, timeline):
    """Until all that pg has written is durable on its timeline."""
    lsn = pg.psql("select pg_current_wal_flush_lsn()")

    def durable():
        status = house.hf("wal", "status", "orders")
        return status["timeline"] == timeline and pg.psql(
            f"select '{status['durableLsn']}'::pg_lsn >= '{lsn}'") == "t"

    proc.wait_until(durable, timeout=60, what=f"WAL of timeline {timeline} through {lsn}",
                    interval=0.2)


def fill(pg, first, last):
    pg.psql(f"insert into t select generate_series({first}, {last})")


class Story:
    """Rows and LSN at the end of each timeline."""

    def __init__(self):
        self.ends = {}

    def note(self, pg, timeline):
        self.ends[timeline] = (pg.psql("select pg_current_wal_insert_lsn()"), pg.psql(ROWS))


def fail_over(old, new):
    """The old primary dies once the standby has all; the standby is promoted."""
    lsn = old.psql("select pg_current_wal_flush_lsn()")
    proc.wait_until(lambda: new.psql(f"select pg_last_wal_replay_lsn() >= '{lsn}'") == "t",
                    what="standby that caught up")
    old.kill()
    new.promote()


@pytest.fixture(scope="module")
def story(house, source):
    """Two promotions: source → second (timeline 2) → source, made anew (timeline 3)."""
    told = Story()
    source.psql("create table t (x int primary key)")
    second = source.standby(proc.new_folder("hf-pg-"))
    try:
        second.start()
        house.run("cluster", "add", "orders", "--dsn", multi_host([source, second]))
        fill(source, 1, 1000)
        told.backup = house.backup("orders")["name"]
        fill(source, 1001, 2000)
        told.note(source, 1)
        wait_streaming(house, source, 1)
        fail_over(source, second)
        fill(second, 2001, 3000)
        told.note(second, 2)
        wait_streaming(house, second, 2)
        second_promotion(house, told, source, second)
        yield told
    finally:
        second.kill()
        proc.remove_folder(second.folder)


def second_promotion(house, told, source, second):
    """A new standby takes the first host's place in the DSN, and is promoted in its turn."""
    source.destroy_data()
    second.tool("pg_basebackup", "-d", second.dsn("postgres"), "-D", source.data, "-R", "-X",
                "stream", "-c", "fast")
    source.settings["hot_standby"] = "on"
    source.start()
    fail_over(second, source)
    fill(source, 3001, 4000)
    told.note(source, 3)
    wait_streaming(house, source, 3)


@pytest.mark.parametrize("timeline", [1, 2, 3])
def test_restore__across_the_switches_gives_each_timelines_rows(story, restore, timeline):
    lsn, rows = story.ends[timeline]
    server = restore("orders", "--lsn", lsn, "--exclusive", "--backup", story.backup).verify()
    assert server.start_promoted().psql(ROWS) == rows


def test_restore__latest_is_the_newest_timeline(story, restore):
    server = restore("orders", "--latest").verify().start_promoted()
    assert server.psql(ROWS) == story.ends[3][1]
    server.accepts_commit().check_indexes()


def test_wal__is_whole_across_the_switches(story, house):
    status = house.hf("wal", "status", "orders")
    assert status["receiverState"] == "STREAMING" and status["gaps"] == []
    assert status["timeline"] == 3
    assert house.hf("backup", "verify", story.backup)["verification"] == "VERIFIED"


def test_backup__of_the_new_primary_goes_on_incrementally(story, house, restore):
    made = house.backup("orders")
    assert made["timeline"] == 3 and made["predecessor"].endswith(story.backup.split("/")[-1])
    server = restore("orders", "--latest", "--backup", made["name"]).verify().start_promoted()
    assert server.psql(ROWS) == story.ends[3][1]
