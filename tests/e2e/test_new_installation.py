"""The machine with the services is gone. A new installation over the old vault and key (or recovery
kit) takes the catalogue back, and the living source goes on where it was."""

import hashlib
import json
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


def write(path, text):
    """A private file of whose the directory is."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    os.chmod(path, 0o600)
    state = os.stat(os.path.dirname(path))
    os.chown(path, state.st_uid, state.st_gid)


def foreign_kit():
    """A good recovery kit that belongs to nothing."""
    key = os.urandom(32)
    digits = (key + hashlib.sha256(key).digest()[:4]).hex().upper()
    return "HOLDFAST-KIT-1-" + "-".join(digits[at:at + 4] for at in range(0, len(digits), 4)) + "\n"


@pytest.fixture(params=["all keys", "vault.key alone", "recovery kit"])
def story(request, programs, start_server):
    """Two backups by an installation that is gone; a new one that has its vault and key, or kit."""
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
        with open(pg.old.path("recovery-kit.txt"), encoding="utf-8") as file:
            pg.kit = file.read() if request.param == "recovery kit" else None
        if request.param != "all keys":
            for name in os.listdir(pg.new.path("keys")):
                if name != "vault.key":
                    os.remove(pg.new.path("keys", name))
        if pg.kit:  # as it comes from another system's disk
            write(pg.new.path("keys", "vault.key"), pg.kit.replace("\n", "\r\n"))
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
    house.run("restore", *([] if "--vault" in words else ["orders"]), "--to", f"{folder}/r", *words)
    server = Restored(f"{folder}/r").verify().start_promoted()
    try:
        return server.psql(COUNT)
    finally:
        server.kill()
        shutil.rmtree(f"{folder}/r")


def fix_of(house, name):
    checks = json.loads(house.run("doctor", "-o", "json", check=False).stdout)["checks"]
    return "; ".join(check["fix"] for check in checks if check["name"] == name)


def shell(house, command):
    path = os.path.dirname(house.program) + os.pathsep + os.environ["PATH"]
    return proc.run(["sh", "-c", command], env={**house.env, "PATH": path}).stderr


def reads_by_kit(story, folder):
    """Without a service; and a kit of elsewhere, in both places, is refused and changes nothing."""
    new, kit, key = story.new, f"{folder}/kit.txt", story.new.path("keys", "vault.key")
    vault = ["--vault", new.path("vault"), "--key-file", kit]
    write(kit, story.kit)
    listed = new.hf("backup", "list", *vault)["backups"]
    assert {item["name"] for item in listed} == {item["name"] for item in story.made}
    assert restored_rows(new, folder, "--latest", *vault, "--cluster", "orders") == story.rows
    write(kit, foreign_kit())
    assert "another recovery kit" in new.fails(4, "backup", "list", *vault)
    os.rename(key, f"{folder}/put")
    write(key, foreign_kit())
    said = new.fails(4, "up")
    assert "KIT_REFUSED" in said and "another recovery kit" in said
    assert os.listdir(new.path("vault", "tenants", "default", "keys")) == ["000001"]
    assert os.listdir(new.path("keys")) == ["vault.key"]
    os.rename(f"{folder}/put", key)


def runs_again_by_kit(story, folder):
    """The same machine loses its key, and its service goes on with what doctor names."""
    new, key = story.new, story.new.path("keys", "vault.key")
    write(f"{folder}/kit.txt", story.kit)
    os.remove(key)
    shell(new, fix_of(new, "keys/vault.key").replace("COPY", f"{folder}/kit.txt"))
    with open(key, encoding="utf-8") as file:
        assert file.read() == story.kit
    assert "STILL_RUNS" in new.fails(4, "up")
    assert "made a new" in shell(new, fix_of(new, "vault key"))
    new.note_processes()
    assert fix_of(new, "vault key") == fix_of(new, "keys/vault.key") == ""
    made = new.backup("orders")
    for words in (["--key-file", key], ["--key-file", f"{folder}/kit.txt"]):
        assert made["name"] in new.run("backup", "list", "--vault", new.path("vault"), *words, "-o",
                                       "name").stdout.split()


def test_new_installation__takes_over(story, folder):
    new = story.new
    if story.kit:
        reads_by_kit(story, folder)
    os.rename(new.path("keys", "vault.key"), new.path("kept.key"))
    assert "KEY_MISSING" in new.fails(4, "up")
    os.rename(new.path("kept.key"), new.path("keys", "vault.key"))
    os.chmod(new.path("keys", "vault.key"), 0o644)
    said = new.fails(4, "up")
    assert "KEY_REFUSED" in said and "chmod 600" in said
    os.chmod(new.path("keys", "vault.key"), 0o600)
    new.up()
    if story.kit:  # it stays the one of this vault
        assert not os.path.exists(new.path("recovery-kit.txt"))
    assert new.run("backup", "list").stdout.count("\n") <= 1  # the catalogue is empty yet
    new.run("catalog", "rebuild")
    before = points(new)
    assert set(before) == {item["name"] for item in story.made}
    for item in story.made:
        for key in ("startLsn", "stopLsn", "sourceBytes", "storedBytes", "timeline", "lineage"):
            assert before[item["name"]].get(key) == item.get(key), key
    assert [item["name"] for item in new.hf("cluster", "list")["clusters"]] == [
        story.added["name"]]
    assert "holdfast cluster add orders --dsn DSN" in fix_of(new, "cluster orders")
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
    if story.kit:
        runs_again_by_kit(story, folder)
