"""The machine with the services is gone. A new installation over the old vault and key takes the
catalogue back, and the living source goes on where it was."""

import os
import shutil

import pytest

from support import proc
from support.holdfast import Holdfast
from support.restored import Restored

MIB = 1 << 20
COUNT = "select count(*) from pgbench_history"


def give_tree(source, target):
    """A copy that belongs to whom the original belonged."""
    shutil.copytree(source, target)
    state = os.stat(source)
    for parent, folders, files in os.walk(target):
        for path in [parent, *(os.path.join(parent, name) for name in [*folders, *files])]:
            os.chown(path, state.st_uid, state.st_gid)


@pytest.fixture(params=["all keys", "vault.key alone"])
def story(request, programs, start_server):
    """Two backups by an installation that is gone; a new one that has its vault and key."""
    pg = start_server()
    pg.pgbench("-i", "-q", "-s", "2")
    home = proc.new_folder("hf-up-")
    pg.old = Holdfast(os.path.join(home, "old")).up()
    pg.new = Holdfast(os.path.join(home, "new"))
    try:
        pg.added = pg.old.add_cluster("orders", pg)
        pg.made = [pg.old.backup("orders")]
        pg.pgbench("-n", "-t", "200")
        pg.made.append(pg.old.backup("orders"))
        pg.pgbench("-n", "-t", "50")
        pg.lsn = pg.psql("select pg_current_wal_flush_lsn()")
        proc.wait_until(lambda: pg.psql(
            f"select '{pg.old.hf('wal', 'status', 'orders')['durableLsn']}'::pg_lsn >= "
            f"'{pg.lsn}'") == "t", what="all WAL in the vault")
        pg.rows = pg.psql(COUNT)
        pg.old.kill()
        os.mkdir(pg.new.folder)
        give_tree(pg.old.path("vault"), pg.new.path("vault"))
        give_tree(pg.old.path("keys"), pg.new.path("keys"))
        if request.param == "vault.key alone":
            for name in os.listdir(pg.new.path("keys")):
                if name != "vault.key":
                    os.remove(pg.new.path("keys", name))
        shutil.rmtree(pg.old.folder)
        yield pg
    finally:
        pg.new.down()
        pg.old.down()
        proc.remove_folder(home)


def points(house):
    """Recovery points by name; each once."""
    listed = house.hf("backup", "list", "orders")["backups"]
    names = [item["name"] for item in listed if item["state"] == "SUCCEEDED"]
    assert len(names) == len(set(names))
    return {item["name"]: item for item in listed}


def restored_rows(house, folder, *words):
    proc.give_to_server_user(folder)
    house.run("restore", "orders", "--to", f"{folder}/r", *words)
    server = Restored(f"{folder}/r").verify().start_promoted()
    try:
        return server.psql(COUNT)
    finally:
        server.kill()
        shutil.rmtree(f"{folder}/r")


def test_new_installation__takes_over(story, folder):
    new = story.new
    os.rename(new.path("keys", "vault.key"), new.path("kept.key"))
    assert "KEY_MISSING" in new.fails(4, "up")
    os.rename(new.path("kept.key"), new.path("keys", "vault.key"))
    os.chmod(new.path("keys", "vault.key"), 0o644)
    said = new.fails(4, "up")
    assert "KEY_REFUSED" in said and "chmod 600" in said
    os.chmod(new.path("keys", "vault.key"), 0o600)
    new.up()
    assert new.run("backup", "list").stdout.count("\n") <= 1  # the catalogue is empty yet
    new.run("catalog", "rebuild")
    before = points(new)
    assert set(before) == {item["name"] for item in story.made}
    for item in story.made:
        for key in ("startLsn", "stopLsn", "sourceBytes", "storedBytes", "timeline", "lineage"):
            assert before[item["name"]].get(key) == item.get(key), key
    assert [item["name"] for item in new.hf("cluster", "list")["clusters"]] == [
        story.added["name"]]
    assert restored_rows(new, folder, "--latest") == story.rows
    assert new.hf("backup", "verify", story.made[0]["name"])["verification"] == "VERIFIED"

    story.pgbench("-n", "-t", "20")  # nobody streams: the slot keeps it
    adopted = new.add_cluster("orders", story)
    assert adopted["name"] == story.added["name"] and adopted["slot"] == story.added["slot"]
    assert adopted["lineage"] == story.made[0]["lineage"]
    made = new.backup("orders")
    assert made["predecessor"] == story.made[1]["name"]
    assert made["lineage"] == story.made[0]["lineage"]
    assert int(made["storedBytes"]) <= MIB + int(made["sourceBytes"]) // 100
    assert set(points(new)) == {*before, made["name"]}
    assert new.hf("wal", "status", "orders")["gaps"] == []
    assert story.psql("select count(*) from pg_replication_slots") == "1"
    rows = story.psql(COUNT)
    # From the oldest point over the change of installations: no WAL is missing between.
    assert restored_rows(new, folder, "--latest", "--backup", story.made[0]["name"]) == rows
    new.run("catalog", "rebuild")
    assert set(points(new)) == {*before, made["name"]}
