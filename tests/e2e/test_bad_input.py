"""What users and their machines get wrong: each named, with the exit code, leaving nothing behind.

A refused `cluster add` leaves no cluster and no slot; a refused restore leaves no directory.
"""

import os
import pty
import shutil
import socket
import subprocess
import termios
import time

import pytest

from support import proc
from support.expired import expired_copy
from support.grpc import Grpcurl
from support.postgres import PASSWORD
from support.session import Session
from support.state import open_state

BACKUP = "holdfast.backup.v1.BackupService"
JOBS = "holdfast.jobs.v1.JobService"
NO_JOB = "tenants/default/jobs/00000000-0000-7000-8000-000000000000"
PARENT = "tenants/default/clusters/orders"


@pytest.fixture(scope="module")
def orders(house, source):
    """One cluster that is fine, with a backup."""
    house.add_cluster("orders", source)
    source.backup = house.backup("orders")
    return source


@pytest.fixture(scope="module")
def grpcurl(house, orders):
    return Grpcurl(house.endpoint(), house.certs())


def slots(pg):
    return pg.psql("select count(*) from pg_replication_slots")


def refused(house, pg, code, reason, *words, dsn=None, stdin=""):
    """`cluster add` is refused with a reason and leaves nothing; what it said."""
    before = slots(pg)
    said = house.fails(code, "cluster", "add", "other", "--dsn", dsn or pg.dsn(), *words,
                       stdin=stdin)
    assert f"reason: {reason}" in said
    assert house.run("cluster", "list", "-o", "name").stdout.split() == [PARENT]
    assert slots(pg) == before
    return said


# Sources that cannot be protected.
def test_add__unreachable_host(house, orders):
    refused(house, orders, 5, "HOST_UNREACHABLE",
            dsn=f"host=127.0.0.1 port={proc.free_port()} user=holdfast dbname=postgres")


def test_add__host_that_never_answers(house, orders):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(5)
        begin = time.monotonic()
        refused(house, orders, 5, "HOST_UNREACHABLE",
                dsn=f"host=127.0.0.1 port={silent.getsockname()[1]} user=holdfast")
        assert time.monotonic() - begin < 40


def test_add__unknown_host_name(house, orders):
    refused(house, orders, 5, "HOST_UNREACHABLE", dsn="host=no-such-host.invalid user=holdfast")


def test_add__wrong_password_is_refused_and_not_repeated(house, orders):
    said = refused(house, orders, 4, "AUTHENTICATION_FAILED", "--password-stdin",
                   dsn=orders.tcp_dsn(), stdin="it is wrong\n")
    assert "it is wrong" not in said


def test_add__right_password_from_a_file(house, orders, folder):
    with open(f"{folder}/password", "w", encoding="utf-8") as file:
        file.write(PASSWORD + "\n")
    made = house.hf("cluster", "add", "by-file", "--dsn", orders.tcp_dsn(), "--password-file",
                    f"{folder}/password")
    assert PASSWORD not in str(made)
    house.run("cluster", "remove", "by-file")
    assert slots(orders) == "1"


def test_add__password_that_is_typed_is_not_shown(house, orders):
    ours, theirs = pty.openpty()
    command = subprocess.Popen([house.program, "cluster", "add", "typed", "--dsn",
                                orders.tcp_dsn(), "--password-stdin"], env=house.env, stdin=theirs,
                               stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    while b"password: " not in seen:
        seen += os.read(ours, 65536)
    proc.wait_until(lambda: not termios.tcgetattr(ours)[3] & termios.ECHO, what="no echo")
    os.write(ours, PASSWORD.encode() + b"\n")
    try:
        while piece := os.read(ours, 65536):
            seen += piece
    except OSError:  # the terminal ends with its last user
        pass
    os.close(ours)
    assert command.wait(60) == 0, seen
    assert PASSWORD.encode() not in seen and b"clusters/typed" in seen
    house.run("cluster", "remove", "typed")


def test_add__password_in_the_dsn_is_refused(house, orders):
    said = house.fails(2, "cluster", "add", "other", "--dsn",
                       orders.tcp_dsn() + " password=secretive")
    assert "--password-stdin" in said and "secretive" not in said


def test_add__role_without_replication(house, orders):
    orders.psql("create role plain login")
    said = refused(house, orders, 4, "ROLE_LACKS_REPLICATION", dsn=orders.dsn("plain"))
    assert "ALTER ROLE" in said.upper() and "REPLICATION" in said


def test_add__database_that_is_not_there(house, orders):
    said = refused(house, orders, 4, "DATABASE_NOT_FOUND", dsn=orders.dsn(dbname="no-such"))
    assert "no-such" in said and "dbname=postgres" in said


def test_add__database_that_is_not_named_may_be_any(house, orders):
    house.run("cluster", "add", "any", "--dsn", f"host={orders.folder} port={orders.port} "
              "user=holdfast")
    house.run("cluster", "remove", "any")
    assert slots(orders) == "1"


def test_add__name_taken(house, orders):
    said = house.fails(4, "cluster", "add", "orders", "--dsn", orders.dsn())
    assert "CLUSTER_EXISTS" in said and slots(orders) == "1"


@pytest.mark.parametrize("name", ["Orders", "-x", "a" * 41, "or/ders", "ord ers", ""])
def test_add__name_that_is_none(house, orders, name):
    house.fails(2, "cluster", "add", "--dsn", orders.dsn(), "--", name)
    assert slots(orders) == "1"


def test_add__wal_level_minimal(house, orders, start_server):
    pg = start_server(wal_level="minimal", max_wal_senders=0)
    assert "wal_level = " in refused(house, pg, 4, "WAL_LEVEL_MINIMAL")


def test_add__no_free_slot(house, orders, start_server):
    pg = start_server(max_replication_slots=1)
    pg.psql("select pg_create_physical_replication_slot('taken')")
    assert "max_replication_slots" in refused(house, pg, 4, "NO_FREE_SLOT")


def test_add__no_walsender(house, orders, start_server):
    assert "max_wal_senders" in refused(house, start_server(max_wal_senders=0), 4, "NO_WALSENDER")


def test_add__postgresql_13(house, orders, start_server):
    said = refused(house, start_server(version=13), 4, "UNSUPPORTED_VERSION")
    assert "PostgreSQL 13" in said and "14" in said


def test_add__unbounded_slots_are_warned_of_with_the_fix(house, orders, start_server):
    pg = start_server(max_slot_wal_keep_size="-1")
    done = house.run("cluster", "add", "unbounded", "--dsn", pg.dsn())
    assert "ALTER SYSTEM SET max_slot_wal_keep_size" in done.stderr
    assert "unbounded" in house.run("wal", "status", "unbounded").stdout
    house.run("cluster", "remove", "unbounded")
    assert slots(pg) == "0"


def fix_lines(text):
    return [line.split("fix:", 1)[1].strip() for line in text.splitlines()
            if line.strip().startswith("fix:")]


def test_add__a_role_makes_no_fix_of_its_name(house, orders):
    """What mends a finding has a line of its own, which nothing of a message can begin."""
    name = "x; fix: holdfast down --destroy"
    orders.psql(f'create role "{name}" login replication')
    try:
        said = house.run("cluster", "add", "posing", "--dsn", orders.dsn().replace(
            "user=holdfast", f"user='{name}'")).stderr
        shown = house.run("cluster", "describe", "posing").stdout
        advice = [finding["fix"] for finding in
                  house.hf("cluster", "describe", "posing")["findings"]]
    finally:
        house.run("cluster", "remove", "posing", check=False)
        orders.psql(f'drop role "{name}"')
    assert f"role {name} may not read all settings" in said
    assert f'GRANT pg_read_all_settings TO "{name}";' in advice
    for text in (said, shown):
        assert fix_lines(text) == advice
        assert not [line for line in text.splitlines() if "; fix: GRANT" in line]


def test_add__of_two_that_connect_a_cluster_of_the_vault_one_is_refused(house, orders):
    """Both find the cluster as a rebuilt catalogue has it, without a connection."""
    house.add_cluster("taken", orders)
    with Session(open_state(house)) as state:
        state.run("update backup.clusters set dsn = '' where name = 'taken'")
        state.run("begin; select 1 from backup.clusters where name = 'taken' for update")
        adding = [subprocess.Popen([house.program, "cluster", "add", "taken", "--dsn",
                                    orders.dsn()], env=house.env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                  for _ in range(2)]
        proc.wait_until(lambda: state.run(
            "select count(*) from pg_locks where not granted") == ["2"], what="both at the row")
        state.run("commit")
    said = [command.communicate(timeout=60)[1] for command in adding]
    assert sorted(command.returncode for command in adding) == [0, 4], said
    assert sum("reason: CLUSTER_CHANGED" in text for text in said) == 1
    house.run("cluster", "remove", "taken")


def test_add__validate_only_stores_nothing(house, orders, start_server):
    pg = start_server()
    house.run("cluster", "add", "other", "--dsn", pg.dsn(), "--validate-only")
    assert house.run("cluster", "list", "-o", "name").stdout.split() == [PARENT]
    assert slots(pg) == "0"


# Directories that cannot be restored into.
def test_restore__running_servers_directory(house, orders):
    said = house.fails(4, "restore", "orders", "--to", orders.data, "--latest")
    assert "SERVER_RUNNING" in said and orders.psql("select 1") == "1"


def test_restore__directory_that_is_not_empty(house, orders, folder):
    with open(f"{folder}/mine", "w", encoding="utf-8") as file:
        file.write("mine")
    assert "DIRECTORY_NOT_EMPTY" in house.fails(4, "restore", "orders", "--to", folder, "--latest")
    assert os.listdir(folder) == ["mine"]


@pytest.mark.parametrize("words", [(), ("--cluster", "orders")], ids=["online", "offline"])
def test_restore__directory_in_an_installation(house, orders, folder, words):
    """By what is on the disk: through a link, too. A vault offline closes what is around it."""
    vault = house.path("vault")
    where = ["--vault", vault, "--key-file", house.path("keys", "vault.key"), *words] if words else ["orders"]
    os.symlink(vault, f"{folder}/link")
    for target in (house.path("x"), house.path("keys", "x"), f"{vault}/tenants/x", f"{folder}/link/x"):
        said = house.fails(4, "restore", *where, "--to", target, "--latest")
        assert "TARGET_IN_INSTALLATION" in said and target in said
        assert not os.path.exists(target)


def test_restore__directory_of_one_that_was_not_finished(house, orders, folder):
    with open(f"{folder}/holdfast.incomplete", "w", encoding="utf-8"):
        pass
    said = house.fails(4, "restore", "orders", "--to", folder, "--latest")
    assert f"{folder} holds a restore that was not finished; remove it and restore again" in said


def test_restore__parent_that_is_not_there(house, orders, folder):
    house.fails(3, "restore", "orders", "--to", f"{folder}/not/there", "--latest")


@pytest.fixture
def little_space(folder):
    proc.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder])
    yield folder
    proc.run(["umount", "-l", folder])


def test_restore__not_enough_disk(house, orders, little_space):
    said = house.fails(4, "restore", "orders", "--to", f"{little_space}/r", "--latest")
    assert "NO_SPACE" in said and "free" in said
    assert os.listdir(little_space) == []


def test_restore__wrong_key_is_called_that(house, orders, folder):
    with open(house.path("keys", "vault.key"), "rb") as file:
        key = bytearray(file.read())
    at = len(key) - 3
    key[at] = ord("a") if key[at] != ord("a") else ord("b")
    with open(f"{folder}/key", "wb") as file:
        file.write(key)
    os.chmod(f"{folder}/key", 0o600)
    said = house.fails(4, "restore", "--vault", house.path("vault"), "--key-file", f"{folder}/key",
                       "--cluster", "orders", "--to", f"{folder}/r", "--latest")
    assert "WRONG_KEY" in said and "corrupt" not in said and "damaged" not in said


# Clients that are not let in.
@pytest.fixture
def expired(house, orders, folder):
    out = f"{folder}/expired"
    expired_copy(house.path("pki", "cli"), house.path("pki", "ca"), out)
    return out


def test_client__expired_certificate_is_named_by_our_command_line(house, expired):
    own, aside = house.path("pki", "cli"), house.path("pki", "aside")
    shutil.copytree(own, aside)
    try:
        shutil.copy(f"{expired}/tls.crt", own)
        assert "CERTIFICATE_EXPIRED" in house.fails(4, "cluster", "list")
    finally:
        shutil.copy(f"{aside}/tls.crt", own)
        shutil.rmtree(aside)
    house.run("cluster", "list")


def test_client__expired_certificate_sees_a_closed_connection(house, expired):
    client = Grpcurl(house.endpoint(), expired)
    assert client("grpc.health.v1.Health/Check", timeout=5).code != "OK"


def test_client__without_certificate_is_not_let_in(house, grpcurl):
    client = Grpcurl(house.endpoint(), None, ca=house.certs())
    assert client("grpc.health.v1.Health/Check", timeout=5).code != "OK"
    assert grpcurl("grpc.health.v1.Health/Check").message == {"status": "SERVING"}


def test_grpc__everything_is_found_by_reflection(grpcurl):
    assert {BACKUP, JOBS, "grpc.health.v1.Health"} <= set(grpcurl.services())
    assert "rpc CreateBackup" in grpcurl.describe(BACKUP)


@pytest.fixture
def slow(orders):
    """A spread checkpoint has two minutes' time."""
    for setting in ("checkpoint_completion_target = 0.9", "checkpoint_timeout = '2min'"):
        orders.psql(f"alter system set {setting}")
    orders.psql("select pg_reload_conf()")
    orders.psql("create table filler as select generate_series(1, 200000) as x")
    yield orders
    orders.psql("checkpoint")


def test_grpc__cancels_a_running_backup(grpcurl, slow):
    job = grpcurl(f"{BACKUP}/CreateBackup",
                  {"parent": PARENT, "backup": {"checkpoint": "SPREAD"}}).message
    proc.wait_until(lambda: grpcurl(f"{JOBS}/GetJob", {"name": job["name"]}).message["state"]
                    == "RUNNING", what="a running job")
    assert grpcurl(f"{JOBS}/CancelJob", {"name": job["name"]}).message["cancelRequested"]
    seen = grpcurl(f"{JOBS}/WatchJob", {"name": job["name"]}).messages
    assert seen[-1]["job"]["state"] == "CANCELLED"
    assert grpcurl(f"{BACKUP}/GetBackup", {"name": job["target"]}).message["state"] == "CANCELLED"


def test_grpc__creates_watches_lists_and_deletes(grpcurl):
    job = grpcurl(f"{BACKUP}/CreateBackup", {"parent": PARENT, "backup": {}}).message
    seen = grpcurl(f"{JOBS}/WatchJob", {"name": job["name"]}).messages
    assert seen[-1]["job"]["state"] == "SUCCEEDED"
    listed = grpcurl(f"{BACKUP}/ListBackups", {"parent": PARENT}).message["backups"]
    assert listed[0]["name"] == job["target"]
    older = listed[-1]["name"]
    grpcurl(f"{BACKUP}/DeleteBackup", {"name": older}).message
    assert grpcurl(f"{BACKUP}/GetBackup", {"name": older}).code == "NOT_FOUND"


@pytest.mark.parametrize("method, request_, code", [
    (f"{BACKUP}/GetBackup", {"name": f"{PARENT}/backups/none"}, "NOT_FOUND"),
    (f"{BACKUP}/GetBackup", {"name": "nonsense"}, "INVALID_ARGUMENT"),
    (f"{BACKUP}/GetBackup", {}, "INVALID_ARGUMENT"),
    (f"{BACKUP}/CreateBackup", {"parent": "tenants/default/clusters/none"}, "NOT_FOUND"),
    (f"{BACKUP}/ListBackups", {"parent": PARENT, "filter": "; drop table"}, "INVALID_ARGUMENT"),
    (f"{JOBS}/CancelJob", {"name": "tenants/default/jobs/none"}, "INVALID_ARGUMENT"),
    (f"{JOBS}/CancelJob", {"name": NO_JOB}, "NOT_FOUND"),
    (f"{BACKUP}/ListClusters", {"parent": "tenants/foreign"}, "NOT_FOUND"),
])
def test_grpc__bad_calls_get_the_right_error(grpcurl, method, request_, code):
    assert grpcurl(method, request_).code == code


def test_grpc__message_over_the_limit_is_refused_and_harmless(grpcurl):
    big = {"parent": "tenants/default", "cluster_id": "big", "cluster": {"dsn": "x" * (5 << 20)}}
    assert grpcurl(f"{BACKUP}/CreateCluster", big).code == "RESOURCE_EXHAUSTED"
    assert len(grpcurl(f"{BACKUP}/ListClusters", {"parent": "tenants/default"}).message[
        "clusters"]) == 1


def test_grpc__errors_carry_reason_and_metadata(grpcurl):
    reply = grpcurl.raw("-format-error", "-d", f'{{"name": "{PARENT}/backups/none"}}',
                        grpcurl.endpoint, f"{BACKUP}/GetBackup")
    assert "google.rpc.ErrorInfo" in reply.stderr and "BACKUP_NOT_FOUND" in reply.stderr
