"""One flipped byte in any object that a backup needs is found, and the object is named."""

import contextlib
import hashlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import uuid

import pytest

from support import proc
from support.restored import Restored
from support.state import open_state

KINDS = ["packs", "maps", "roots", "tables", "wal"]


@pytest.fixture(scope="module")
def orders(house, source):
    """Two backups; the second refers to packs of the first. WAL after them, in a closed segment."""
    source.pgbench("-i", "-q", "-s", "2")
    house.add_cluster("orders", source)
    source.first = house.backup("orders")["name"]
    source.pgbench("-n", "-t", "500")
    source.second = house.backup("orders")["name"]
    source.rows = source.psql("select count(*) from pgbench_history")
    source.psql("select pg_switch_wal()")
    source.psql("create table later as select generate_series(1, 100000) as n")
    source.end = source.psql("select pg_switch_wal()")
    proc.wait_until(lambda: int(source.psql(
        f"select ('{durable_lsn(house)}'::pg_lsn >= '{source.end}'::pg_lsn)::int")) == 1,
                    what="the WAL after the second backup")
    return source


def durable_lsn(house):
    return house.hf("wal", "status", "orders")["durableLsn"]


def place(house):
    """The cluster's folder in the vault."""
    sources = house.path("vault", "tenants", "default", "sources")
    return os.path.join(sources, os.listdir(sources)[0])


def objects(folder):
    """Files below a folder, the largest first."""
    found = [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names]
    return sorted(found, key=lambda path: (-os.path.getsize(path), path))


@contextlib.contextmanager
def flipped(path, at=None):
    """One byte of a file is another one for a while; the middle one when not told."""
    with open(path, "rb") as file:
        whole = file.read()
    broken = bytearray(whole)
    broken[len(whole) // 2 if at is None else at] ^= 0x01
    state = os.stat(path)
    os.chmod(path, 0o600)
    with open(path, "r+b") as file:
        file.write(broken)
    try:
        yield
    finally:
        with open(path, "r+b") as file:
            file.write(whole)
        os.chmod(path, state.st_mode & 0o7777)


def offline(house, *words):
    return ["--vault", house.path("vault"), "--key-file", house.path("keys", "vault.key"), *words]


def oldest_wal(house, orders):
    """The slice or segment that holds the first backup's WAL."""
    segment = orders.psql(f"select ('{start_lsn(house, orders.first)}'::pg_lsn - '0/0') "
                          "/ (16 * 1024 * 1024)").split(".")[0]
    inside = f"/{int(segment):016x}/"
    return [path for path in objects(os.path.join(place(house), "wal")) if inside in path.lower()]


def start_lsn(house, backup):
    return house.hf("backup", "describe", backup)["startLsn"]


def victim(house, orders, kind):
    if kind == "wal":
        return oldest_wal(house, orders)[0]
    if kind == "roots":
        return os.path.join(place(house), kind, orders.first.split("/")[-1])
    return objects(os.path.join(place(house), kind))[0]


@pytest.mark.parametrize("kind", KINDS)
def test_verify__finds_and_names_a_flipped_byte(house, orders, kind):
    path = victim(house, orders, kind)
    with flipped(path):
        done = house.run("backup", "verify", orders.first, "-o", "json", check=False)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "BACKUP_DAMAGED" in said or "DATA_LOSS" in said
    assert os.path.basename(path) in said
    assert house.hf("backup", "verify", orders.first)["verification"] == "VERIFIED"


def test_verify__names_the_other_points_that_need_the_object(house, orders):
    """Packs of the first backup that the second refers to as well."""
    with flipped(victim(house, orders, "packs")):
        done = house.run("backup", "verify", orders.first, check=False)
    assert done.returncode == 1
    assert orders.second.split("/")[-1] in done.stdout + done.stderr
    house.run("backup", "verify", orders.first)


def segment_of(orders, lsn):
    return int(orders.psql(f"select (('{lsn}'::pg_lsn - '0/0') / (16 * 1024 * 1024))::bigint"))


def segment_number(path):
    return int(path.split("/")[-2], 16)


def wal_between(house, orders, first, last):
    """Closed WAL objects of the segments after that of LSN first and before that of last."""
    low, high = segment_of(orders, first) + 1, segment_of(orders, last)
    found = [path for path in objects(os.path.join(place(house), "wal"))
             if "-open-" not in path and "/history/" not in path
             and low <= segment_number(path) < high]
    assert found, f"no closed WAL between {first} and {last}"
    return found


def lsns(house, backup):
    point = house.hf("backup", "describe", backup)
    return point["startLsn"], point["stopLsn"]


@contextlib.contextmanager
def removed(path):
    """All objects of the file's segment are not there for a while: slices and the whole."""
    segment = os.path.dirname(path)
    aside = proc.new_folder("hf-aside-")
    os.rename(segment, os.path.join(aside, "segment"))
    try:
        yield
    finally:
        os.rename(os.path.join(aside, "segment"), segment)
        proc.remove_folder(aside)


@pytest.mark.parametrize("how", [flipped, removed])
def test_verify__finds_a_fault_in_the_wal_between_two_backups(house, orders, how):
    """The first backup answers for it; the second does not need it."""
    victims = wal_between(house, orders, lsns(house, orders.first)[1],
                          lsns(house, orders.second)[0])
    with how(victims[0]):
        done = house.run("backup", "verify", orders.first, check=False)
        second = house.hf("backup", "verify", orders.second)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert os.path.dirname(victims[0]).split("/tenants/")[1] in said
    assert f"(affects {orders.first.split('/')[-1]})" in said
    assert second["verification"] == "VERIFIED"
    assert house.hf("backup", "verify", orders.first)["verification"] == "VERIFIED"


@pytest.mark.parametrize("how", [flipped, removed])
def test_verify__finds_a_fault_in_the_wal_after_the_last_backup(house, orders, how):
    """The newest backup answers for all WAL that there is."""
    victims = wal_between(house, orders, lsns(house, orders.second)[1], orders.end)
    with how(victims[0]):
        done = house.run("backup", "verify", orders.second, check=False)
        first = house.hf("backup", "verify", orders.first)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert os.path.dirname(victims[0]).split("/tenants/")[1] in said
    assert f"(affects {orders.second.split('/')[-1]})" in said
    assert first["verification"] == "VERIFIED"
    assert house.hf("backup", "verify", orders.second)["verification"] == "VERIFIED"


@pytest.mark.parametrize("kind", KINDS)
def test_restore__never_takes_a_flipped_byte(house, orders, folder, kind):
    proc.give_to_server_user(folder)
    path = victim(house, orders, kind)
    with flipped(path):
        done = house.run("restore", *offline(house, "--cluster", "orders", "--backup",
                                             orders.first, "--to", f"{folder}/r", "--latest"),
                         check=False)
    assert done.returncode in (1, 4), done.stderr
    assert os.path.basename(path) in done.stderr
    assert not os.path.exists(f"{folder}/r") or os.path.exists(f"{folder}/r/holdfast.incomplete")


@pytest.mark.parametrize("where", [0, -1, None], ids=["first", "last", "middle"])
def test_journal__flipped_entry_is_found_on_opening(house, orders, where):
    path = sorted(objects(os.path.join(place(house), "journal")))[0]
    with flipped(path, where):
        done = house.run("backup", "list", *offline(house), check=False)
    assert done.returncode == 1
    assert os.path.basename(path) in done.stderr


def test_journal__removed_entry_is_found_on_opening(house, orders):
    path = sorted(objects(os.path.join(place(house), "journal")))[1]
    os.rename(path, house.path("aside"))
    try:
        assert house.run("backup", "list", *offline(house), check=False).returncode == 1
    finally:
        os.rename(house.path("aside"), path)


def test_source__that_cannot_be_read_is_not_passed_over(house, orders, folder):
    """It may be a newer cluster of the same name; the readable one is had by its id alone."""
    own, other = os.path.basename(place(house)), str(uuid.uuid4())
    segment = wal_between(house, orders, start_lsn(house, orders.first), durable_lsn(house))[0]
    name = f"{1:08X}{0:08X}{int(segment.split('/')[-2], 16):08X}"
    strange = os.path.join(os.path.dirname(place(house)), other)
    shutil.copytree(os.path.join(place(house), "journal"), os.path.join(strange, "journal"))
    try:
        done = house.run("backup", "list", "orders", *offline(house), "-o", "name", check=False)
        assert done.returncode == 1 and other in done.stderr
        assert orders.first in done.stdout.split()
        for code, words in ((1, ("restore", "--to", f"{folder}/r", "--latest")),
                            (255, ("wal", "fetch", name, f"{folder}/wal"))):
            said = house.fails(code, *words, *offline(house), "--cluster", "orders")
            assert other in said and f"--cluster {own}" in said
            assert os.listdir(folder) == []
        house.run("wal", "fetch", name, f"{folder}/wal", *offline(house), "--cluster", own)
    finally:
        shutil.rmtree(strange)
    assert os.path.getsize(f"{folder}/wal") == 16 << 20


def test_key_slot__flipped_byte_is_found_on_opening(house, orders):
    path = objects(house.path("vault", "tenants", "default", "keys"))[0]
    with flipped(path):
        done = house.run("backup", "list", *offline(house), check=False)
        said = house.fails(1, "backup", "create", "orders", "--wait")
        held(house, "DAMAGED")
        house.down()
        closed(house, "DAMAGED", "when the vault is again as it was")
    assert done.returncode in (1, 4) and done.stderr.startswith("error: ")
    assert "reason: DAMAGED" in said and "keys/000001" in said  # the process has its keys yet
    proc.wait_until(lambda: receiver(house)["receiverState"] == "STREAMING", timeout=90,
                    what="a receiver that starts when the slot is whole again")
    house.run("backup", "list", *offline(house))


def test_vault__of_a_newer_format_is_called_that(house, orders):
    marker = house.path("vault", "holdfast-vault")
    with open(marker, encoding="utf-8") as file:
        old = file.read()
    body = re.sub(r"^format \d+$", "format 99", old.rpartition("sha256 ")[0], flags=re.M)
    digest = hashlib.sha256(body.encode()).hexdigest()
    os.chmod(marker, 0o600)
    try:
        with open(marker, "w", encoding="utf-8") as file:
            file.write(f"{body}sha256 {digest}\n")
        said = house.fails(4, "backup", "list", *offline(house))
    finally:
        with open(marker, "w", encoding="utf-8") as file:
            file.write(old)
    assert "NEWER_FORMAT" in said and "99" in said


def test_vault__of_another_key_is_called_that(house, orders, folder):
    with open(f"{folder}/key", "w", encoding="utf-8") as file:
        file.write("0" * 64 + "\n")
    os.chmod(f"{folder}/key", 0o600)
    said = house.fails(4, "backup", "list", "--vault", house.path("vault"), "--key-file",
                       f"{folder}/key")
    assert "WRONG_KEY" in said


def test_catalogue__is_rebuilt_from_the_vault_alone(house, orders, folder):
    before = house.hf("backup", "list", "orders")["backups"]
    gone = open_state(house).psql("delete from backup.backups returning 1").split()
    assert len(gone) == len(before)
    assert house.hf("backup", "list", "orders")["backups"] == []
    house.run("catalog", "rebuild")
    after = house.hf("backup", "list", "orders")["backups"]
    names = {item["name"]: item["stopLsn"] for item in after if item["state"] == "SUCCEEDED"}
    assert names == {item["name"]: item["stopLsn"] for item in before
                     if item["state"] == "SUCCEEDED"}
    proc.give_to_server_user(folder)
    house.run("restore", "orders", "--to", f"{folder}/r", "--latest")
    server = Restored(f"{folder}/r").verify().start_promoted()
    try:
        assert server.psql("select count(*) from pgbench_history") == orders.rows
    finally:
        server.kill()


def test_wal__that_the_vault_has_lost_is_a_gap(house, orders, folder):
    """Nobody saw it go: the listing shows it at the next start. What comes back is no gap."""
    first, second = (house.hf("backup", "describe", name) for name in (orders.first,
                                                                       orders.second))
    between = wal_between(house, orders, first["stopLsn"], second["startLsn"])[-1]
    behind = wal_between(house, orders, second["stopLsn"], orders.end)[0]
    window = receiver(house)["windowStart"]
    with removed(between):
        restarted(house)
        proc.wait_until(lambda: receiver(house)["gaps"], what="the gap")
        gaps, start = receiver(house)["gaps"], receiver(house)["windowStart"]
        house.fails(4, "restore", "orders", "--to", f"{folder}/r", "--at", second["startTime"])
        with removed(behind):
            house.run("catalog", "rebuild")
            told = receiver(house)
            said = house.run("info").stdout
            doctor = house.run("doctor", check=False)
    assert [segment_of(orders, gap["fromLsn"]) for gap in gaps] == [segment_number(between)]
    assert [segment_of(orders, gap["toLsn"]) for gap in gaps] == [segment_number(between) + 1]
    assert start == second["endTime"] > window
    assert doctor.returncode == 1 and "lacks WAL behind its backups" in doctor.stdout
    assert len(told["gaps"]) == 2 and "windowStart" not in told and "NOT RECOVERABLE" in said
    restarted(house)
    proc.wait_until(lambda: not receiver(house)["gaps"], what="no gap where WAL is again")
    assert receiver(house)["windowStart"] == window


def limit_threads(pid, most):
    entry = pwd.getpwnam("holdfast")
    as_it = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
    proc.run([*(as_it if os.geteuid() == 0 else []), "prlimit", "--pid", str(pid), f"--nproc={most}:"])


def test_verify__without_a_thread_to_be_had_fails_and_nothing_else(house, orders):
    """As TasksMax and RLIMIT_NPROC do."""
    pid = house.note_processes()["backup"]
    with open(f"/proc/{pid}/limits", encoding="ascii") as file:
        before = re.search(r"Max processes +(\S+)", file.read()).group(1)
    limit_threads(pid, "1")
    try:
        job = house.hf("backup", "verify", orders.first, "--no-wait")["name"]
        proc.wait_until(lambda: "no more threads" in str(house.hf("job", "describe", job)),
                        what="the job that says so")
    finally:
        limit_threads(pid, before)
    assert house.note_processes()["backup"] == pid
    house.run("job", "watch", job)
    assert house.hf("job", "describe", job)["state"] == "SUCCEEDED"


def test_key__comes_through_a_pipe_of_ones_own(house, orders, folder):
    """As a shell's <(command) gives it; one without a writer is left with Ctrl-C."""
    words = ["backup", "list", "--vault", house.path("vault"), "-o", "name", "--key-file"]
    with open(house.path("keys", "vault.key"), encoding="utf-8") as file:
        key = file.read()
    assert orders.first in house.run(*words, "/dev/stdin", stdin=key).stdout.split()
    assert "64 hexadecimal digits" in house.fails(2, *words, "/dev/stdin", stdin="")
    assert "larger than 4096" in house.fails(4, *words, "/dev/stdin", stdin=key * 1000)
    os.mkfifo(f"{folder}/fifo", 0o600)
    reader = subprocess.Popen([house.program, *words, f"{folder}/fifo"], env=house.env,
                              stderr=subprocess.PIPE, text=True)
    with open(f"{folder}/fifo", "w", encoding="utf-8"):  # from here on it is waited for
        reader.send_signal(signal.SIGINT)
        assert reader.wait(20) == 130
    os.chown(f"{folder}/fifo", *nobody())
    assert "only your own" in house.fails(4, *words, f"{folder}/fifo")
    end, other = os.pipe()  # and sudo's caller gives one that is nobody's trap
    os.fchown(end, *nobody())
    os.write(other, key.encode())
    os.close(other)
    done = subprocess.run([house.program, *words, "/dev/stdin"], env=house.env, stdin=end,
                          stdout=subprocess.PIPE, check=True, text=True)
    os.close(end)
    assert orders.first in done.stdout.split()


def nobody():
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def receiver(house):
    return house.hf("wal", "status", "orders")


def held(house, reason):
    """The running receiver has noticed, long before the next inventory; nothing is promised."""
    proc.wait_until(lambda: receiver(house)["errorReason"] == reason, timeout=20, what=reason)
    assert "windowStart" not in receiver(house)
    said = house.run("info").stdout
    assert "orders: NOT RECOVERABLE: the vault " in said and "any moment" not in said
    assert "ok    cluster orders can be restored" not in house.run("doctor", check=False).stdout


def test_source__whose_objects_go_under_a_running_service_acknowledges_nothing(house, orders):
    gone, aside = place(house), house.path("aside")
    os.rename(gone, aside)
    try:
        held(house, "JOURNAL_ROLLBACK")
        end = orders.psql("select pg_logical_emit_message(true, '', 'x')")
        orders.psql("select pg_sleep(1)")
        assert orders.psql(f"select restart_lsn < '{end}'::pg_lsn from pg_replication_slots") == "t"
        assert not os.path.exists(gone)
    finally:
        shutil.rmtree(gone, ignore_errors=True)
        os.rename(aside, gone)
    proc.wait_until(lambda: receiver(house)["receiverState"] == "STREAMING", timeout=60,
                    what="a receiver that goes on when the objects are back")
    assert receiver(house)["gaps"] == [] and "windowStart" in receiver(house)


def restarted(house):
    house.down()
    house.up()
    proc.wait_until(lambda: receiver(house)["receiverState"] == "STREAMING", timeout=60,
                    what="a receiver that goes on")


def closed(house, reason, why):
    """The vault does not show what the catalogue knows: that is said everywhere, nothing is done."""
    house.up()
    wal = receiver(house)
    assert (wal["errorReason"], wal["receiverState"]) == (reason, "WAITING"), wal
    said = house.run("info").stdout
    assert "orders: NOT RECOVERABLE: the vault " in said and wal["error"] in said
    assert why in house.run("doctor", check=False).stdout
    done = house.run("backup", "create", "orders", "--wait", check=False)
    assert done.returncode in (1, 4) and f"reason: {reason}" in done.stderr


def test_secrets_key__of_another_installation_is_called_that(house, orders):
    """It seals passwords of sources; what the vault has needs it not."""
    house.run("cluster", "update", "orders", "--password-stdin", stdin="not asked for\n")
    house.down()
    with open(house.path("keys", "secrets.key"), "r+", encoding="utf-8") as file:
        file.write("5" * 64)
    house.up()
    wal = receiver(house)
    assert wal["errorReason"] == "SECRETS_KEY_CHANGED" and wal["receiverState"] == "WAITING"
    assert "secrets.key" in wal["error"] and "stay recoverable" in wal["error"]
    assert "windowStart" in wal and "NOT RECOVERABLE" not in house.run("info").stdout
    assert "holdfast cluster update orders --password-file FILE" in house.run(
        "doctor", check=False).stdout
    assert "SECRETS_KEY_CHANGED" in house.fails(4, "cluster", "update", "orders", "--dsn",
                                                orders.dsn())
    house.run("cluster", "update", "orders", "--password-stdin", stdin="not asked for\n")
    proc.wait_until(lambda: receiver(house)["receiverState"] == "STREAMING", timeout=60,
                    what="a receiver with the password that was given again")


def test_vault__older_than_the_catalogue_is_followed_when_asked(house, orders, restore):
    tenant, older = house.path("vault", "tenants", "default"), house.path("older")
    rebuild = ["catalog", "rebuild", "--accept-rollback"]
    house.down()
    proc.run(["cp", "-a", tenant, older])
    house.up()
    made = house.backup("orders")["name"]
    for _ in range(3):
        orders.psql("select pg_logical_emit_message(true, '', 'x')")
        orders.psql("select pg_switch_wal()")
    end = orders.psql("select pg_current_wal_flush_lsn()")
    proc.wait_until(lambda: orders.psql(
        f"select '{durable_lsn(house)}'::pg_lsn >= '{end}'") == "t", what="all WAL in the vault")
    house.down()
    for _ in range(2):
        orders.psql("checkpoint")

    os.rename(tenant, house.path("newer"))  # all of it is gone: that is no new tenant
    closed(house, "KEYS_MISSING", "tenants/default/ back from a copy")
    assert "KEYS_MISSING" in house.fails(4, "catalog", "rebuild")
    house.down()
    assert not os.path.exists(tenant)

    os.rename(older, tenant)
    closed(house, "JOURNAL_ROLLBACK", "holdfast catalog rebuild --accept-rollback")
    assert "--accept-rollback" in house.fails(1, "catalog", "rebuild")  # nobody follows it unasked
    assert receiver(house)["errorReason"] == "JOURNAL_ROLLBACK"
    known = {item["name"] for item in house.hf("backup", "list", "orders")["backups"]}
    gone = place(house)
    os.rename(gone, house.path("gone"))
    assert "nothing of cluster orders" in house.fails(1, *rebuild)
    os.rename(house.path("gone"), gone)
    house.run(*rebuild)
    proc.wait_until(lambda: receiver(house)["receiverState"] == "STREAMING", timeout=90,
                    what="a receiver that goes on with the older vault")
    listed = {item["name"] for item in house.hf("backup", "list", "orders")["backups"]
              if item["state"] == "SUCCEEDED"}
    assert made in known - listed and {orders.first, orders.second} <= listed
    gap = receiver(house)["gaps"]
    assert gap and house.hf("cluster", "describe", "orders")["state"] == "GAP"
    again = house.backup("orders")
    assert again["predecessor"] == orders.second
    house.down()
    house.up()
    assert receiver(house)["gaps"] == gap and receiver(house)["errorReason"] == ""
    assert house.hf("cluster", "describe", "orders")["state"] != "GAP"
    assert house.hf("backup", "verify", again["name"])["verification"] == "VERIFIED"
    server = restore("orders", "--latest").verify().start_promoted()
    assert server.psql("select count(*) from pgbench_history") == orders.rows

    # A new installation knows of no gap: the vault does. One of before the vault came back goes.
    assert open_state(house).psql("delete from backup.gaps returning 1")
    house.run("catalog", "rebuild")
    assert receiver(house)["gaps"] == gap
    house.down()
    os.rename(tenant, older)
    os.rename(house.path("newer"), tenant)
    house.up()
    assert "--accept-rollback" in house.fails(1, "catalog", "rebuild")  # it went another way
    house.run(*rebuild)
    assert gap[0] not in receiver(house)["gaps"]
    assert made in {item["name"] for item in house.hf("backup", "list", "orders")["backups"]
                    if item["state"] == "SUCCEEDED"}
