"""The fake tells the truth before it lies: otherwise a refusal would prove nothing."""

import pytest

import pgmessages as pg
from fake_postgres import FakePostgres, tls_context
from support import proc
from support.postgres import PASSWORD
from support.restored import Restored

pytestmark = pytest.mark.no_asan  # the fake is tried, not the programs


@pytest.fixture(scope="module")
def real(start_server):
    return start_server(max_replication_slots=20, max_wal_senders=20)


@pytest.fixture
def fake(real):
    made = []

    def start(**options):
        made.append(FakePostgres(f"{real.folder}/.s.PGSQL.{real.port}", **options))
        return made[-1]

    yield start
    for one in made:
        one.close()


def streams(house, name):
    proc.wait_until(lambda: house.hf("cluster", "describe", name)["state"] == "STREAMING",
                    what=f"stream of {name}")


def add(house, name, one, *words, **options):
    return house.hf("cluster", "add", name, "--dsn", one.dsn(), *words, **options)


def test_fake__relays_a_whole_backup_that_restores_and_starts(house, real, fake):
    one = fake(is_small=False)
    real.psql("create table told (n int); insert into told select generate_series(1, 1000)")
    add(house, "whole", one)
    streams(house, "whole")
    made = house.hf("backup", "create", "whole", "--wait")
    assert made["state"] == "SUCCEEDED", made
    assert house.hf("backup", "verify", made["name"])["verification"] == "VERIFIED"
    folder = proc.new_folder("hf-restore-")
    proc.give_to_server_user(folder)
    restored = Restored(f"{folder}/data", version=15)
    restored.settings.update(max_wal_senders=20)
    try:
        house.run("restore", "whole", "--latest", "--to", restored.data)
        assert restored.start_promoted().psql("select count(*) from told") == "1000"
    finally:
        restored.kill()
        proc.remove_folder(folder)


@pytest.mark.parametrize("version", ["", "14.9"])
def test_fake__small_backup_is_a_backup(house, fake, version):
    name = f"small{version[:2]}"
    add(house, name, fake(version=version))
    streams(house, name)
    made = house.hf("backup", "create", name, "--wait")
    assert made["state"] == "SUCCEEDED", made


@pytest.mark.parametrize("auth", ["cleartext", "md5", "scram"])
def test_fake__asks_for_the_password(house, real, fake, auth, folder):
    one = fake(auth=auth, password=PASSWORD, tls=tls_context(folder))
    refused = house.fails(4, "cluster", "add", "wrong", "--dsn", one.dsn(), "--password-stdin",
                          stdin="of somebody else\n")
    assert "AUTHENTICATION_FAILED" in refused
    add(house, f"by-{auth}", one, "--password-stdin", stdin=f"{PASSWORD}\n")
    streams(house, f"by-{auth}")


def test_pgmessages__lsn_both_ways():
    assert pg.lsn_text(pg.lsn_parse("1A/2B3C")) == "1A/2B3C"
