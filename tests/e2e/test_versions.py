"""PostgreSQL 14, 16, 17 and 18 as sources (15 is everywhere else): the whole story on each, with
other WAL segment sizes and with and without data checksums. PostgreSQL 14 comes as a bare server
and 16 without amcheck: there fewer of PostgreSQL's own checks can be made."""

import os

import pytest

from support import proc
from support.moment import moment_of_snapshot
from support.postgres import Postgres
from support.restored import digest_sql

MIB = 1 << 20
SEGMENT_SIZE = {14: "1MB", 16: "16MB", 17: "16MB", 18: "64MB"}
CHECKSUMS = {14: "on", 16: "off", 17: "on", 18: "off"}
INITDB = {14: ["-k", "--wal-segsize=1"], 16: [], 17: ["-k"],
          18: ["--no-data-checksums", "--wal-segsize=64"]}
TABLES = ["things", "spaced"]
DIGEST = digest_sql(TABLES)
LOCK = "lock table things, spaced in share mode"
FILL = """
create table things (id int primary key, word text, at timestamptz default clock_timestamp());
create index on things (word);
insert into things select g, md5(g::text) from generate_series(1, 30000) g;
create tablespace far location '{space}';
create table spaced tablespace far as
    select g as id, repeat(md5(g::text), 9) as word from generate_series(1, 8000) g;
create index on spaced (id) tablespace far;
"""
CHANGE = """
update things set word = word || 'changed' where id % 1000 = 0;
insert into spaced select g, md5(g::text) from generate_series(8001, 8100) g
"""


def start_source(version):
    pg = Postgres(proc.new_folder("hf-pg-"), version=version, autovacuum="off")
    pg.create(options=INITDB[version]).start().add_roles()
    pg.space = os.path.join(pg.folder, "space")
    os.mkdir(pg.space)
    proc.give_to_server_user(pg.space)
    pg.psql(FILL.format(space=pg.space))
    pg.psql("vacuum (freeze, analyze)")
    return pg


def require_sync(pg, cluster):
    """From here on a commit is acknowledged when it is durable in the vault."""
    pg.psql(f"alter system set synchronous_standby_names = 'holdfast_{cluster}'")
    pg.psql("select pg_reload_conf()")
    proc.wait_until(lambda: pg.psql("select sync_state from pg_stat_replication") == "sync",
                    what="a synchronous receiver")


def tell(house, pg):
    """Two backups with changes, a moment, and the mistake after it."""
    pg.cluster = f"pg{pg.version}"
    pg.added = house.add_cluster(pg.cluster, pg)
    require_sync(pg, pg.cluster)
    pg.full = house.backup(pg.cluster)
    pg.psql(CHANGE)
    pg.second = house.backup(pg.cluster)
    pg.psql("insert into things values (-1, 'after the second backup')")
    pg.moment = moment_of_snapshot(pg, "before", DIGEST, LOCK)
    pg.psql("drop table things; insert into spaced values (-1, 'after the drop')")
    pg.end = pg.psql(digest_sql(["spaced"]))
    return pg


@pytest.fixture(scope="module", params=[14, 16, 17, 18])
def story(request, house):
    pg = start_source(request.param)
    try:
        yield tell(house, pg)
    finally:
        pg.kill()
        proc.remove_folder(pg.folder)


def mapped(story, restore):
    return ("--tablespace", f"{story.space}={restore.folder}/space")


def check(server):
    """PostgreSQL's own checks, as far as this version came with them."""
    if server.psql("select 1 from pg_available_extensions where name = 'amcheck'"):
        server.check_indexes()
    if CHECKSUMS[server.version] == "on" and server.has_tool("pg_checksums"):
        server.check_checksums()


def check_printed_command(server):
    """The line that starts the restored server names the right major, in a comment at its end when
    Debian's place for it is empty."""
    place = f"/usr/lib/postgresql/{server.version}/bin/pg_ctl"
    printed = server.printed.strip().splitlines()[-1]
    if os.path.exists(place):
        assert f"{place} -D {server.data} start" in printed
    else:
        assert f"pg_ctl -D {server.data} start" in printed.split("#")[0]
        assert printed.endswith(f"# the pg_ctl of PostgreSQL {server.version}")


def test_versions__source_is_what_was_meant(story):
    assert story.added["serverVersion"] == story.version * 10000 + int(
        story.psql("show server_version_num")) % 10000
    assert story.psql("show wal_segment_size") == SEGMENT_SIZE[story.version]
    assert story.psql("show data_checksums") == CHECKSUMS[story.version]
    assert story.psql("select application_name, state, sync_state from pg_stat_replication"
                      ) == f"holdfast_{story.cluster}|streaming|sync"


def test_versions__second_backup_stores_what_changed(story):
    source, stored = (int(story.second[key]) for key in ("sourceBytes", "storedBytes"))
    assert story.second["predecessor"] == story.full["name"]
    assert stored <= MIB + source // 1000
    assert stored < int(story.full["storedBytes"]) // 4


def test_versions__vault_is_whole(story, house):
    for made in (story.full, story.second):
        assert house.hf("backup", "verify", made["name"])["verification"] == "VERIFIED"
    assert house.hf("wal", "status", story.cluster)["gaps"] == []


def test_versions__restore_to_the_moment_before_the_drop(story, restore):
    server = restore(story.cluster, "--at", story.moment.time, *mapped(story, restore),
                     version=story.version).verify()
    check_printed_command(server)
    assert server.start_promoted().psql(DIGEST) == story.moment.rows
    assert server.psql("select pg_tablespace_location(oid) from pg_tablespace "
                       "where spcname = 'far'") == f"{restore.folder}/space"
    server.accepts_commit()
    check(server)


def test_versions__restore_to_latest_from_the_first_backup(story, restore):
    server = restore(story.cluster, "--latest", "--backup", story.full["name"],
                     *mapped(story, restore), version=story.version).verify().start_promoted()
    assert server.psql(digest_sql(["spaced"])) == story.end
    assert server.psql("select to_regclass('things') is null") == "t"
    server.accepts_commit()
    assert server.psql("show wal_segment_size") == SEGMENT_SIZE[story.version]
