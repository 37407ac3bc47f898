"""The servers and clients that other tests stand on."""

import signal

import pytest

from support import proc
from support.grpc import json_documents


def test_postgres__takes_a_commit_and_a_load(pg):
    pg.pgbench("-i", "-q", "-s", "1")
    pg.pgbench("-n", "-c", "2", "-t", "20")
    assert pg.psql("select count(*) from pgbench_history") == "40"


def test_postgres__role_holdfast_may_replicate(pg):
    assert pg.psql("select rolreplication from pg_roles where rolname = 'holdfast'") == "t"
    slot = "select slot_name from pg_create_physical_replication_slot('probe', true)"
    assert pg.psql(slot, user="holdfast") == "probe"


def test_postgres__survives_kill_9(pg):
    pg.psql("create table kept as select 1 as x")
    pg.kill()
    pg.start()
    assert pg.psql("select x from kept") == "1"


def test_postgres__standby_follows_and_is_promoted(pg, folder):
    standby = pg.standby(folder)
    try:
        standby.start()
        pg.psql("create table t as select 7 as x")
        proc.wait_until(lambda: standby.psql("select x from t", check=False) == "7")
        pg.stop(signal.SIGQUIT)
        standby.promote()
        assert standby.psql("insert into t values (8) returning x") == "8"
    finally:
        standby.kill()


@pytest.mark.no_asan
@pytest.mark.parametrize("version", [13, 17])
def test_postgres__other_major_versions_run(start_postgres, version):
    server = start_postgres(version=version)
    assert server.psql("show server_version_num").startswith(str(version))


@pytest.mark.no_asan
def test_grpcurl__runs():
    assert "grpcurl" in proc.run([f"{proc.part('grpcurl')}/grpcurl", "-version"]).stderr


def test_json_documents__reads_a_stream():
    assert json_documents('{"a": 1}\n{"b": 2}\n') == [{"a": 1}, {"b": 2}]
