"""One round of everything with both builds of the programs: what the sanitizers have to see."""

import os

import pytest

from support import proc
from support.restored import Restored

COUNT = "select count(*) from pgbench_history"


@pytest.fixture
def orders(holdfast_dir, pg):
    """A protected source with a load behind it and two backups."""
    pg.pgbench("-i", "-q", "-s", "1")
    holdfast_dir.add_cluster("orders", pg)
    pg.first = holdfast_dir.backup("orders", timeout=600)
    pg.pgbench("-n", "-t", "200")
    pg.second = holdfast_dir.backup("orders", timeout=600)
    pg.pgbench("-n", "-t", "50")
    pg.rows = pg.psql(COUNT)
    pg.lsn = pg.psql("select pg_current_wal_flush_lsn()")
    proc.wait_until(lambda: pg.psql(
        f"select '{holdfast_dir.hf('wal', 'status', 'orders')['durableLsn']}'::pg_lsn >= "
        f"'{pg.lsn}'") == "t", what="all WAL in the vault")
    return pg


def restored_rows(house, folder, *words):
    house.run("restore", *words, "--to", f"{folder}/r", timeout=600)
    server = Restored(f"{folder}/r").verify().start_promoted()
    try:
        return server.psql(COUNT)
    finally:
        server.kill()
        proc.remove_folder(f"{folder}/r")


def test_cycle__backups_verify_and_come_back(holdfast_dir, orders, folder):
    proc.give_to_server_user(folder)
    vault = ["--vault", holdfast_dir.path("vault"), "--key-file",
             holdfast_dir.path("keys", "vault.key")]
    for made in (orders.first, orders.second):
        proven = holdfast_dir.hf("backup", "verify", made["name"], timeout=600)
        assert proven["verification"] == "VERIFIED"
    assert restored_rows(holdfast_dir, folder, "orders", "--latest") == orders.rows
    assert restored_rows(holdfast_dir, folder, *vault, "--cluster", "orders", "--latest",
                         "--backup", orders.first["name"].split("/")[-1]) == orders.rows
    assert restored_rows(holdfast_dir, folder, "orders", "--immediate", "--backup",
                         orders.first["name"]) == "0"


def test_cycle__every_view_and_the_way_out(holdfast_dir, orders, grpcurl, folder):
    for words in (("info",), ("cluster", "list"), ("cluster", "describe", "orders"),
                  ("backup", "list"), ("backup", "describe", orders.first["name"]),
                  ("wal", "status", "orders"), ("job", "list"), ("doctor",)):
        for form in ("table", "json", "yaml"):
            holdfast_dir.run(*words, "-o", form)
    assert "holdfast.backup.v1.BackupService" in grpcurl.services()
    assert grpcurl("holdfast.backup.v1.BackupService/GetBackup", {"name": "nonsense"}).code == \
        "INVALID_ARGUMENT"
    segment = orders.psql(f"select pg_walfile_name('{orders.second['startLsn']}')")
    holdfast_dir.run("wal", "fetch", "--cluster", "orders", segment, os.path.join(folder, segment))
    assert os.path.getsize(os.path.join(folder, segment)) == 16 << 20
    holdfast_dir.run("catalog", "rebuild", timeout=600)
    holdfast_dir.kill("backup")
    holdfast_dir.up()
    holdfast_dir.run("cluster", "remove", "orders")
    assert orders.psql("select count(*) from pg_replication_slots") == "0"
    assert holdfast_dir.down().returncode == 0
