"""An installation of an earlier release is carried over: its owner, vault, state, slots and registrations."""

import os
import pwd
import shutil
import subprocess

import pytest

from support import proc
from support.grpc import Grpcurl
from support.holdfast import Holdfast
from support.restored import Restored

FIXTURE = os.path.join(proc.ROOT, "tests", "fixtures", "installation-6119379.tar.zst")
SOURCE = "/tmp/holdfast-fixture-source"  # stands in the stored connection strings
ROWS = "select count(*) from moments"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the fixture belongs to several users")


@pytest.fixture(scope="module")
def carried(programs):
    """The unpacked installation after its first `up`, and its source, restored from its vault."""
    home = proc.new_folder("hf-upgrade-")
    subprocess.run(["tar", "-C", home, "--zstd", "-xpf", FIXTURE], check=True)
    house = Holdfast(os.path.join(home, "installation"))
    shutil.rmtree(SOURCE, ignore_errors=True)
    os.mkdir(SOURCE, 0o755)
    proc.give_to_server_user(SOURCE)
    pg = None
    try:
        house.said = house.run("up", "--dir", house.folder, timeout=120)
        house.note_processes()
        house.run("restore", "orders", "--to", os.path.join(SOURCE, "data"), "--latest")
        pg = Restored(os.path.join(SOURCE, "data"))
        pg.port = 5432
        pg.settings.update(max_slot_wal_keep_size="1GB")
        house.pg = pg.start_promoted()
        yield house
    finally:
        if pg:
            pg.kill()
        house.down()
        proc.remove_folder(home)
        proc.remove_folder(SOURCE)


def streams(house, name):
    return house.hf("wal", "status", name)["receiverState"] == "STREAMING"


def owners(folder):
    return {os.lstat(os.path.join(parent, name)).st_uid
            for parent, folders, files in os.walk(folder) for name in [*folders, *files]}


def test_upgrade__belongs_to_the_servers_user_and_says_so(carried):
    user = pwd.getpwnam("holdfast").pw_uid
    assert owners(carried.folder) == {user}
    said = carried.said.stdout + carried.said.stderr
    assert "postgres" in said and "holdfast" in said
    again = carried.run("up", "--dir", carried.folder)
    assert "moved" not in again.stdout + again.stderr


def test_upgrade__keys_are_where_nothing_is_written(carried):
    assert not os.path.exists(carried.path("keys", "epoch"))
    with open(carried.path("state", "epoch"), encoding="ascii") as file:
        assert file.read().startswith("holdfast-epoch 1 ")


def test_upgrade__restores_what_the_earlier_release_stored(carried):
    assert carried.pg.psql(ROWS) == "1100"


def test_upgrade__a_refused_keyword_streams_on_red_until_it_is_changed(carried):
    proc.wait_until(lambda: streams(carried, "orders"), what="orders", timeout=60)
    proc.wait_until(lambda: streams(carried, "plain"), what="plain", timeout=60)
    for words in (("cluster", "describe", "orders"), ("doctor",), ("info",)):
        said = carried.run(*words, check=False)
        assert "holdfast cluster update orders --dsn" in said.stdout + said.stderr, words
    assert "cluster update plain" not in carried.run("cluster", "describe", "plain").stdout
    carried.run("cluster", "update", "orders", "--dsn",
                f"host={SOURCE} user=holdfast dbname=postgres")
    proc.wait_until(lambda: streams(carried, "orders"), what="orders after the change", timeout=60)
    assert "cluster update orders" not in carried.run("cluster", "describe", "orders").stdout


def test_upgrade__the_next_backup_is_incremental_and_verified(carried):
    proc.wait_until(lambda: streams(carried, "orders"), what="orders", timeout=60)
    first = carried.hf("backup", "list", "orders")["backups"][0]
    made = carried.backup("orders")
    assert made["state"] == "SUCCEEDED"
    assert int(made["storedBytes"]) < int(first["storedBytes"]) / 2
    for backup in (first, made):
        assert carried.run("backup", "verify", backup["name"]).returncode == 0


def test_upgrade__a_client_of_before_is_who_it_was(carried):
    alice = Grpcurl(carried.endpoint(), f"{carried.folder}-alice")
    listed = alice("holdfast.backup.v1.BackupService/ListClusters",
                        {"parent": "tenants/default"})
    assert len(listed.message["clusters"]) == 2
    refused = alice("holdfast.backup.v1.BackupService/CreateBackup",
                         {"parent": "tenants/default/clusters/orders"})
    assert refused.code == "PERMISSION_DENIED"
