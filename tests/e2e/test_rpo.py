"""What is left when the source burns in the middle of a load: kill -9, no data directory.

The ledger is the client's: (writer, n) counts as promised when the server's answer had been read.
"""

import shutil
import time

import pytest

from support import proc
from support.restored import Restored
from support.session import Ledger


def wait_for_commits(pg, standby):
    """From here on no commit is acknowledged before the receiver has it."""
    pg.psql(f"alter system set synchronous_standby_names = '{standby}'")
    pg.psql("select pg_reload_conf()")
    proc.wait_until(lambda: pg.psql("select sync_state from pg_stat_replication") == "sync",
                    what="synchronous receiver")


class Fire:
    """A source under load, killed and deleted; the ledger, and a copy of the vault of then."""

    def __init__(self, house, name, pg, synchronous):
        self.name, self.house = name, house
        pg.pgbench("-i", "-q", "-s", "2")
        house.add_cluster(name, pg)
        if synchronous:
            wait_for_commits(pg, f"holdfast_{name}")
        self.ledger = Ledger(pg).start()
        load = pg.pgbench_start("-c", "2", "-T", "120")
        house.backup(name)
        promised = self.ledger.count()
        proc.wait_until(lambda: self.ledger.count() > promised + 800, timeout=60,
                        what="promised commits after the backup")
        self.moment = time.time()
        pg.destroy_data()
        self.ledger.join()
        load.wait(30)
        self.vault = proc.new_folder("hf-vault-copy-")
        shutil.copytree(house.path("vault"), f"{self.vault}/vault")
        shutil.copy(house.path("keys", "vault.key"), f"{self.vault}/key")

    def restored(self, folder, offline):
        proc.give_to_server_user(folder)
        words = ["--vault", f"{self.vault}/vault", "--key-file", f"{self.vault}/key", "--cluster",
                 self.name] if offline else [self.name]
        self.house.run("restore", *words, "--to", f"{folder}/r", "--latest")
        return Restored(f"{folder}/r").verify().start_promoted()


@pytest.fixture(scope="module")
def synchronous(house, start_server):
    fire = Fire(house, "orders", start_server(), True)
    yield fire
    proc.remove_folder(fire.vault)


@pytest.fixture(scope="module")
def asynchronous(house, start_server):
    fire = Fire(house, "async", start_server(), False)
    yield fire
    proc.remove_folder(fire.vault)


def check(fire, folder, offline, before):
    server = fire.restored(folder, offline)
    try:
        assert fire.ledger.count() > 500, "the load was too small to prove anything"
        assert fire.ledger.missing(server, before) == []
        server.accepts_commit().check_indexes()
    finally:
        server.kill()


@pytest.mark.parametrize("offline", [False, True], ids=["service", "vault-alone"])
def test_rpo__synchronous_source_loses_no_acknowledged_commit(synchronous, folder, offline):
    check(synchronous, folder, offline, float("inf"))


@pytest.mark.parametrize("offline", [False, True], ids=["service", "vault-alone"])
def test_rpo__asynchronous_source_loses_less_than_a_second(asynchronous, folder, offline):
    check(asynchronous, folder, offline, asynchronous.moment - 1.0)


def test_rpo__ledger_notices_a_lost_commit(synchronous, folder):
    server = synchronous.restored(folder, False)
    try:
        server.psql("delete from ledger where writer = 1 and n = 7")
        assert synchronous.ledger.missing(server) == [(1, 7)]
    finally:
        server.kill()


def test_rpo__lost_source_is_shown_as_such(house, synchronous):
    status = house.hf("wal", "status", "orders")
    assert status["receiverState"] == "WAITING" and status["error"]
    assert status["lagSeconds"] > 0
    assert "orders" in house.run("info").stdout
