"""Every recovery target gives exactly the rows of its moment, taken while a load ran."""

import os
import re
import shutil

import pytest

from support import proc
from support.moment import Moment, moment_of_snapshot
from support.restored import Restored, digest_sql
from support.session import Session

TABLES = ["pgbench_accounts", "pgbench_branches", "pgbench_history", "pgbench_tellers", "spaced"]
DIGEST = digest_sql(TABLES)
LOCK = "lock table " + ", ".join(TABLES) + " in share mode"
HISTORY = "select count(*) from pgbench_history"
INHERITED = ["alter system set synchronous_standby_names = 'holdfast_orders'",
             "alter system set archive_command = 'exit 1'", "alter system set archive_mode = 'on'",
             "alter system set primary_conninfo = 'host=192.0.2.1'"]


def moment_of_transaction(pg):
    """Rows with and without one transaction's effect."""
    with Session(pg) as session:
        session.run(f"begin; {LOCK.replace('share', 'share row exclusive')}")
        before = session.run(DIGEST)
        xid = session.run("insert into spaced values (-1, 'one'); select pg_current_xact_id()")[0]
        after = session.run(DIGEST)
        session.run("commit")
    return Moment(xid=xid, rows="\n".join(after), rows_before="\n".join(before))


def prepare(pg):
    pg.spaces = os.path.join(pg.folder, "space")
    os.mkdir(pg.spaces)
    proc.give_to_server_user(pg.spaces)
    pg.pgbench("-i", "-q", "-s", "2")
    pg.psql(f"create tablespace far location '{pg.spaces}'")
    pg.psql("create table spaced tablespace far as select g as id, repeat(md5(g::text), 9) as text "
            "from generate_series(1, 20000) g; create index on spaced (id) tablespace far")
    pg.psql("create database other")
    pg.psql("create table o as select g from generate_series(1, 1000) g", dbname="other")


@pytest.fixture(scope="module")
def story(house, source):
    """A source with a load, two backups, and moments between them."""
    prepare(source)
    house.add_cluster("orders", source)
    for sql in INHERITED:
        source.psql(sql)
    source.restart()
    early = source.psql("select clock_timestamp()")
    load = source.pgbench_start("-c", "3", "-T", "300", "-R", "200")
    try:
        first = house.backup("orders")["name"]
        moments = [moment_of_snapshot(source, "one", DIGEST, LOCK), moment_of_transaction(source)]
        second = house.backup("orders")["name"]
        moments.append(moment_of_snapshot(source, "two", DIGEST, LOCK))
        seen = source.psql(HISTORY)
        proc.wait_until(lambda: int(source.psql(HISTORY)) > int(seen) + 20, what="more load")
    finally:
        load.terminate()
        load.wait(30)
    end = moment_of_snapshot(source, "end", DIGEST, LOCK)
    return Moment(early=early, first=first, second=second, one=moments[0], xact=moments[1],
                  two=moments[2], end=end, space=source.spaces)


def wait_for_time(house, source):
    """Until the vault is proven complete for a moment after now; gives that moment."""
    now = source.psql("select clock_timestamp()")
    instant = float(source.psql(f"select extract(epoch from '{now}'::timestamptz)"))
    proc.wait_until(lambda: covered(house) > instant + 0.5, what="proof of a later time")
    return now


def covered(house):
    text = house.hf("wal", "status", "orders").get("durableTime")
    return float(proc.run(["date", "-d", text, "+%s.%N"]).stdout) if text else 0.0


def mapped(story, restore):
    return ("--tablespace", f"{story.space}={restore.folder}/space")


def rows(server):
    return server.psql(DIGEST)


@pytest.mark.parametrize("target", ["lsn", "time", "name"])
def test_restore__gives_exactly_the_rows_of_a_moment(story, restore, target):
    for number, moment in enumerate((story.one, story.two)):
        flag = {"lsn": "--lsn", "time": "--at", "name": "--name"}[target]
        server = restore("orders", flag, getattr(moment, target), "--tablespace",
                         f"{story.space}={restore.folder}/space{number}").verify()
        assert rows(server.start_promoted()) == moment.rows
        server.kill()


def test_restore__to_a_transaction_includes_it(story, restore):
    server = restore("orders", "--xid", story.xact.xid, *mapped(story, restore)).verify()
    assert rows(server.start_promoted()) == story.xact.rows


def test_restore__to_a_transaction_excludes_it_when_asked(story, restore):
    server = restore("orders", "--xid", story.xact.xid, "--exclusive", *mapped(story, restore))
    assert rows(server.start_promoted()) == story.xact.rows_before


def test_restore__latest_passes_every_check_of_postgresql(story, restore):
    server = restore("orders", "--latest", *mapped(story, restore)).verify().start_promoted()
    assert rows(server) == story.end.rows
    assert server.psql("select count(*) from o", dbname="other") == "1000"
    server.check_indexes().check_checksums()


def test_restore__inherits_nothing_that_would_bind_it(story, restore):
    server = restore("orders", "--latest", *mapped(story, restore)).start_promoted()
    server.accepts_commit()  # would hang for ever with synchronous_standby_names
    assert server.psql("select current_setting('archive_mode'), "
                       "current_setting('synchronous_standby_names'), "
                       "current_setting('primary_conninfo')") == "off||"
    assert server.psql("select count(*) from pg_replication_slots") == "0"


def test_restore__immediate_is_the_state_of_that_backup(story, house, restore):
    server = restore("orders", "--immediate", "--backup", story.first, *mapped(story, restore))
    server.verify().start_promoted()
    assert rows(server) != story.one.rows
    totals = [server.psql(f"select coalesce(sum({column}), 0) from pgbench_{table}")
              for table, column in (("accounts", "abalance"), ("tellers", "tbalance"),
                                    ("branches", "bbalance"), ("history", "delta"))]
    assert len(set(totals)) == 1, "a transaction is half there"


def test_restore__from_an_older_backup_reaches_the_same_moment(story, restore):
    server = restore("orders", "--lsn", story.two.lsn, "--backup", story.first.split("/")[-1],
                     *mapped(story, restore)).verify()
    assert rows(server.start_promoted()) == story.two.rows


def test_restore__pauses_at_the_target_when_asked(story, restore):
    server = restore("orders", "--lsn", story.one.lsn, "--action", "pause",
                     *mapped(story, restore)).start()
    proc.wait_until(lambda: server.psql("select pg_get_wal_replay_pause_state()") == "paused")
    assert rows(server) == story.one.rows
    server.psql("select pg_wal_replay_resume()")
    proc.wait_until(lambda: server.psql("select pg_is_in_recovery()") == "f")
    server.accepts_commit()


def test_restore__shuts_down_at_the_target_when_asked(story, restore):
    server = restore("orders", "--lsn", story.one.lsn, "--action", "shutdown",
                     *mapped(story, restore)).start(wait=False)
    server.process.wait(60)
    state = server.tool("pg_controldata", "-D", server.data).stdout
    assert "shut down in recovery" in state
    server.check_checksums()


def test_restore__puts_tablespaces_where_asked(story, restore):
    server = restore("orders", "--latest", *mapped(story, restore)).start_promoted()
    assert server.psql("select pg_tablespace_location(oid) from pg_tablespace "
                       "where spcname = 'far'") == f"{restore.folder}/space"


def test_restore__asks_where_tablespaces_go(story, house, restore):
    """The source does not choose directories of this machine; the command that is told works."""
    said = house.fails(4, "restore", "orders", "--to", f"{restore.folder}/x", "--latest")
    assert "TABLESPACES_NOT_PLACED" in said
    assert re.search(rf"\d+ \([\d.]+ [KM]iB in {story.space}\)", said)
    assert f"--to {restore.folder}/x" in said
    assert f"--tablespaces-into {restore.folder}/x-tablespaces" in said
    assert os.listdir(restore.folder) == []


def test_restore__puts_tablespaces_into_one_directory(story, restore):
    into = f"{restore.folder}/spaces"
    server = restore("orders", "--latest", "--tablespaces-into", into).start_promoted()
    oid, location = server.psql("select oid || ' ' || pg_tablespace_location(oid) "
                                "from pg_tablespace where spcname = 'far'").split(" ", 1)
    assert location == f"{into}/{oid}" and os.listdir(into) == [oid]
    assert os.readlink(f"{server.data}/pg_tblspc/{oid}") == location
    assert rows(server) == story.end.rows


def test_restore__refuses_tablespaces_inside_the_data_directory(house, restore):
    for words in (("--tablespaces-into", f"{restore.folder}/x/spaces"),
                  ("--tablespaces-into", f"{restore.folder}/x")):
        said = house.fails(2, "restore", "orders", "--to", f"{restore.folder}/x", "--latest",
                           *words)
        assert "lie in each other" in said
    said = house.fails(2, "restore", "orders", "--to", f"{restore.folder}/x", "--latest",
                       "--tablespaces-into", f"{restore.folder}/s", "--tablespaces-as-recorded")
    assert "exclude" in said
    assert os.listdir(restore.folder) == []


def test_restore__refuses_a_tablespace_whose_place_is_taken(story, house, restore):
    said = house.fails(4, "restore", "orders", "--to", f"{restore.folder}/x", "--latest",
                       "--tablespaces-as-recorded")
    assert "TABLESPACE_NOT_MAPPED" in said and story.space in said
    assert not os.path.exists(f"{restore.folder}/x")


def test_restore__follows_no_link_of_another_user(story, house, restore):
    """As root below a directory of somebody who would like to choose where root writes."""
    outside = f"{restore.folder}/outside"
    home = f"{restore.folder}/home"
    os.mkdir(outside)
    os.mkdir(home)
    os.symlink(outside, f"{home}/parent")
    shutil.chown(home, "nobody")
    for words in (("--to", f"{home}/parent/x", *mapped(story, restore)),
                  ("--to", f"{restore.folder}/x", "--tablespaces-into", f"{home}/parent/s")):
        said = house.fails(4, "restore", "orders", "--latest", *words)
        assert "UNSAFE_PATH" in said and f"{home}/parent" in said
    assert os.listdir(outside) == []
    assert sorted(os.listdir(restore.folder)) == ["home", "outside"]
    server = restore("orders", "--immediate", *mapped(story, restore), name="home/data")
    assert {os.stat(path).st_uid for path in (server.data, f"{server.data}/PG_VERSION")} == {65534}
    assert os.stat(server.data).st_mode & 0o777 == 0o700


def test_restore__gives_the_directory_to_the_owner_asked_for(story, restore):
    """By number: a container's user need not exist here."""
    server = restore("orders", "--immediate", "--owner", "70101:nogroup", *mapped(story, restore))
    assert {(os.stat(path).st_uid, os.stat(path).st_gid) for path in
            (server.data, f"{server.data}/global/pg_control", f"{server.data}/pg_wal",
             f"{restore.folder}/space")} == {(70101, 65534)}
    assert "setpriv --reuid=70101 --regid=65534 " in server.printed + server.said


@pytest.mark.parametrize("owner, is_noted", [("root", True), ("postgres", False)])
def test_restore__says_when_the_files_belong_to_root(story, house, restore, folder, owner,
                                                     is_noted):
    shutil.chown(folder, owner)
    done = house.run("restore", "orders", "--to", f"{folder}/r", "--immediate", "--tablespace",
                     f"{story.space}/={folder}/space/")
    assert ("--owner" in done.stderr) == is_noted


@pytest.mark.skipif(os.geteuid() != 0, reason="others start it as themselves")
def test_restore__names_for_root_the_command_that_starts_it(story, house, folder):
    shutil.chown(folder, "root", "root")
    os.chmod(folder, 0o755)
    said = house.run("restore", "orders", "--to", f"{folder}/r", "--immediate", "--tablespaces-into",
                     f"{folder}/new/spaces").stdout
    command = said.partition("start it with:")[2].strip()
    assert f"{folder}/r {folder}/new && " in command
    proc.run(["sh", "-c", f"{command} -w -l {folder}/r/log -o '-h \"\" -k {folder}/r'"], timeout=60)
    Restored(f"{folder}/r").tool("pg_ctl", "-D", f"{folder}/r", "-m", "immediate", "stop")


def test_restore__to_a_time_after_the_last_commit_ends_at_the_proven_end(story, house, source,
                                                                         restore):
    later = wait_for_time(house, source)
    server = restore("orders", "--at", later, *mapped(story, restore))
    assert "proven end" in server.said
    assert rows(server.start_promoted()) == story.end.rows


def test_restore__to_the_end_of_wal_of_a_server_at_rest(story, house, source, restore):
    lsn = source.psql("select pg_current_wal_insert_lsn()")
    proc.wait_until(lambda: source.psql(
        f"select '{house.hf('wal', 'status', 'orders')['durableLsn']}'::pg_lsn >= "
        "pg_current_wal_flush_lsn()") == "t", what="all WAL in the vault")
    server = restore("orders", "--lsn", lsn, *mapped(story, restore))
    assert rows(server.start_promoted()) == story.end.rows


@pytest.mark.parametrize("words, code, reason", [
    (("--at", "2100-01-01 00:00:00+00"), 4, "TARGET_AFTER_WAL"),
    (("--lsn", "FFF/0"), 4, "TARGET_AFTER_WAL"),
    (("--at", "2001-01-01 00:00:00+00"), 4, "TARGET_BEFORE_BACKUP"),
    (("--xid", "4000000000"), 4, "TARGET_NOT_FOUND"),
    (("--name", "never-made"), 4, "TARGET_NOT_FOUND"),
    (("--latest", "--backup", "b20010101t000000-000000"), 3, "UNKNOWN_BACKUP"),
    (("--at", "2026-11-23 12:00:00"), 2, "offset"),
    (("--at", "yesterday"), 2, ""),
    (("--lsn", "16B3748"), 2, "LSN"),
    (("--latest", "--immediate"), 2, "exclude"),
    ((), 2, "--latest"),
    (("--latest", "--action", "explode"), 2, "promote"),
    (("--latest", "--owner", "no-such-user"), 3, "no-such-user"),
    (("--latest", "--owner", "70101"), 2, "70101:70101"),
    (("--latest", "--owner", "70101:no-such-group"), 3, "no-such-group"),
    (("--latest", "--owner", "4294967295:0"), 3, "4294967295"),
    (("--latest", "--tablespace", "/nowhere=/tmp/there"), 3, "/nowhere"),
])
def test_restore__refuses_what_cannot_be(story, house, restore, words, code, reason):
    said = house.fails(code, "restore", "orders", "--to", f"{restore.folder}/x", *words)
    assert reason in said
    assert os.listdir(restore.folder) == []


def test_restore__refuses_a_time_before_the_first_backups_end(story, house, restore):
    said = house.fails(4, "restore", "orders", "--to", f"{restore.folder}/x", "--at", story.early)
    assert "TARGET_BEFORE_BACKUP" in said and "earliest" in said


def move_configuration(server):
    """Debian's layout: configuration beside the data directory, not in it."""
    outside = os.path.join(server.folder, "etc")
    os.mkdir(outside)
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        os.rename(os.path.join(server.data, name), os.path.join(outside, name))
    server.restart(config_file=f"{outside}/postgresql.conf", hba_file=f"{outside}/pg_hba.conf",
                   ident_file=f"{outside}/pg_ident.conf")


def test_restore__writes_the_configuration_that_debian_keeps_elsewhere(house, start_server,
                                                                       restore):
    server = start_server(max_connections=177)
    move_configuration(server)
    server.psql("create table kept as select 7 as x")
    house.add_cluster("debian", server)
    house.backup("debian")
    restored = restore("debian", "--latest").verify()
    assert "postgresql.conf was not in the data directory" in restored.said
    restored.start(wait=False)
    sql = ["-h", restored.folder, "-p", restored.port, "-d", "postgres", "-Atc"]

    def ask(query):  # as the server's own user: the written pg_hba.conf knows peers only
        return restored.tool("psql", *sql, query, check=False).stdout.strip()

    proc.wait_until(lambda: ask("select pg_is_in_recovery()") == "f")
    assert ask("select x from kept") == "7"
    assert ask("show max_connections") == "177"
