"""`wal push` as archive_command and `wal fetch` as restore_command of real servers."""

import os
import shutil

import pytest

from support import proc
from support.postgres import Postgres

END_OF_WAL = 1  # what PostgreSQL takes for "the archive ends here"
ABORTS = 255    # above 125: PostgreSQL ends with FATAL instead of promoting
COUNT = "select count(*) from t"


def command(house, verb, words, cluster="orders"):
    """For the user of the servers, who has a client's directory of his own."""
    client = house.certs("archiver", "--role", "operator", "--owner", "postgres")
    return f"{house.program} wal {verb} --dir {client} --cluster {cluster} {words}"


def archived(pg):
    """(last archived file, failures) of the server's archiver."""
    return pg.psql("select last_archived_wal, failed_count from pg_stat_archiver").split("|")


def switch(pg):
    """Closes the segment that is being written; waits for the archiver. Gives the segment."""
    segment = pg.psql("select pg_walfile_name(pg_current_wal_lsn())")
    pg.psql("select pg_switch_wal()")
    proc.wait_until(lambda: archived(pg)[0][8:] >= segment[8:], what=f"archived {segment}",
                    timeout=60)
    return segment


def idle_status(pg):
    """What the archiver has noted, once nothing is left for it to do."""
    folder = os.path.join(pg.data, "pg_wal", "archive_status")
    proc.wait_until(lambda: not any(name.endswith(".ready") for name in os.listdir(folder)),
                    what="an archiver with nothing left to do", timeout=60)
    return os.listdir(folder)


def fill(pg, rows):
    pg.psql(f"insert into t select generate_series(1, {rows})")


@pytest.fixture(scope="module")
def orders(house, start_server):
    """A source that archives with `wal push`, and streams as every source does."""
    pg = start_server(archive_mode="on", max_wal_size="64MB", min_wal_size="32MB")
    pg.psql(f"alter system set archive_command = '{command(house, 'push', '%p')}'")
    pg.psql("select pg_reload_conf()")
    pg.psql("create table t (x int)")
    house.add_cluster("orders", pg)
    fill(pg, 1000)
    pg.backup = house.backup("orders")["name"]
    pg.segment = switch(pg)
    pg.segment_bytes = bytes_of(pg, pg.segment)
    return pg


@pytest.fixture
def fetch(house, folder):
    """fetch("0000…") → (exit code, bytes or None); words are options instead of the usual ones."""
    def run(name, *words, **options):
        path = os.path.join(folder, f"fetched-{name}")
        where = words or ("--cluster", "orders")
        done = house.run("wal", "fetch", name, path, *where, check=False, **options)
        if done.returncode != 0:
            assert done.stderr.startswith("error: "), done.stderr
            return done.returncode, None
        with open(path, "rb") as file:
            return 0, file.read()
    return run


def bytes_of(pg, name):
    with open(os.path.join(pg.data, "pg_wal", name), "rb") as file:
        return file.read()


def push(house, path):
    return house.run("wal", "push", path, "--cluster", "orders", check=False)


# archive_command

def test_push__archiver_has_never_failed(orders):
    """Backup history files were pushed as well: a refusal would stop the archiver for ever."""
    assert any(name.endswith(".backup.done") for name in idle_status(orders))
    assert archived(orders)[1] == "0"


def test_push__same_bytes_again_succeed(house, orders, folder):
    with open(f"{folder}/{orders.segment}", "wb") as file:
        file.write(orders.segment_bytes)
    for _ in range(2):
        assert push(house, f"{folder}/{orders.segment}").returncode == 0


def test_push__other_bytes_under_the_same_name_are_refused(house, orders, folder, fetch):
    whole = bytearray(orders.segment_bytes)
    whole[100] ^= 1
    with open(f"{folder}/{orders.segment}", "wb") as file:
        file.write(whole)
    done = push(house, f"{folder}/{orders.segment}")
    assert 0 < done.returncode < 126 and "other" in done.stderr, done.stderr
    assert fetch(orders.segment) == (0, orders.segment_bytes)


@pytest.fixture
def foreign():
    """A server of another system; those of the other fixtures are copies of one."""
    server = Postgres(proc.new_folder("hf-pg-")).create().start()
    yield server
    server.kill()
    proc.remove_folder(server.folder)


def test_push__another_system_is_refused(house, orders, foreign):
    name = foreign.psql("select pg_walfile_name(pg_current_wal_lsn())")
    foreign.psql("select pg_switch_wal()")
    done = push(house, os.path.join(foreign.data, "pg_wal", name))
    assert done.returncode == 4 and "FOREIGN_SYSTEM" in done.stderr


@pytest.mark.parametrize("name, size", [("0000000100000000000000FF", 1000), ("garbage", 8192),
                                        ("0000000100000000000000FE", 0)])
def test_push__what_is_no_wal_is_refused(house, orders, folder, name, size):
    with open(f"{folder}/{name}", "wb") as file:
        file.write(b"x" * size)
    assert push(house, f"{folder}/{name}").returncode in (1, 2, 4)


def moved(segment, lsn):
    """The same pages with headers of another place."""
    whole = bytearray(segment)
    for page in range(0, len(whole), 8192):
        if whole[page]:
            whole[page + 8:page + 16] = (lsn + page).to_bytes(8, "little")
    return bytes(whole)


def test_push__what_the_source_never_had_is_refused(house, orders, folder, fetch):
    """Nothing takes back what is stored: the next start of the receiver would follow it."""
    whole, name = orders.segment_bytes, orders.segment
    cases = [("0000000F.history", b"no history", "INVALID_FILE"),
             ("0000000F.history", b"7\t0/100\tx\n", "TIMELINE_UNKNOWN"),
             ("00000002.history", b"1\tF000/0\tx\n", "TIMELINE_UNKNOWN"),
             ("0000000F" + name[8:], whole, "TIMELINE_UNKNOWN"),
             ("0000000100000000000000C8", whole, "NOT_WAL"),
             (name, whole[:8192] + b"x" * (len(whole) - 8192), "NOT_WAL"),
             ("00000001000000BE000000C8", moved(whole, 0xBEC8000000), "WAL_AHEAD")]
    for file, content, why in cases:
        with open(f"{folder}/{file}", "wb") as out:
            out.write(content)
        done = push(house, f"{folder}/{file}")
        assert 0 < done.returncode < 126 and f"reason: {why}" in done.stderr, (file, done.stderr)
        assert file == name or fetch(file)[0] == END_OF_WAL


def push_partial(house, pg, folder, fetch):
    """Of a partial segment the valid records are stored, not what the file held before them."""
    fill(pg, 1)  # its commit is the end of what is flushed
    lsn = pg.psql("select pg_current_wal_flush_lsn()")
    name, end = pg.psql(f"select * from pg_walfile_name_offset('{lsn}')").split("|")
    partial = bytearray(bytes_of(pg, name))
    partial[int(end):] = os.urandom(len(partial) - int(end))
    with open(f"{folder}/{name}.partial", "wb") as file:
        file.write(partial)
    done = push(house, f"{folder}/{name}.partial")
    assert done.returncode == 0, done.stderr
    code, content = fetch(name)
    assert code == 0 and content[:int(end)] == partial[:int(end)]
    assert not any(content[int(end):])


def test_push__brings_what_the_stream_did_not(house, orders, restore, fetch):
    """The receiver is locked out; what is archived meanwhile is restored, then the stream goes
    on after it without a gap and without a second history."""
    lineage = house.hf("cluster", "describe", "orders")["lineage"]
    orders.psql("alter role holdfast nologin; select pg_terminate_backend(pid) "
                "from pg_stat_replication")
    proc.wait_until(lambda: house.hf("wal", "status", "orders")["receiverState"] != "STREAMING")
    fill(orders, 50000)
    push_partial(house, orders, restore.folder, fetch)
    rows = orders.psql(COUNT)
    switch(orders)
    server = restore("orders", "--latest").verify().start_promoted()
    assert server.psql(COUNT) == rows
    orders.psql("alter role holdfast login")
    proc.wait_until(lambda: house.hf("wal", "status", "orders")["receiverState"] == "STREAMING",
                    what="the stream", timeout=60)
    fill(orders, 10)
    switch(orders)
    status = house.hf("wal", "status", "orders")
    assert status["gaps"] == []
    assert house.hf("cluster", "describe", "orders")["lineage"] == lineage
    assert archived(orders)[1] == "0"


# restore_command

def test_fetch__gives_the_segment(orders, fetch):
    assert fetch(orders.segment) == (0, orders.segment_bytes)


@pytest.mark.parametrize("name", ["0000000100000000000000F0", "00000009000000000000000F",
                                  "00000002.history", "00000001.history", "RECOVERYHISTORY"])
def test_fetch__what_is_not_there_is_the_end(orders, fetch, name):
    assert fetch(name)[0] == END_OF_WAL


@pytest.mark.parametrize("words", [
    ("--cluster", "ordres"), ("--cluster", "orders", "--tenant", "other"), ("--clutter", "orders"),
    ("--cluster",), ("--dir", "/nowhere", "--cluster", "orders"), ("--dir", "/tmp"),
    ("more", "--cluster", "orders")])
def test_fetch__a_mistake_is_not_the_end(orders, fetch, words):
    assert fetch(orders.segment, *words)[0] == ABORTS


@pytest.mark.parametrize("broken", ["vault", "marker", "key", "cluster", "source", "nothing"])
def test_fetch__a_vault_that_is_not_there_is_not_the_end(house, orders, fetch, folder, broken):
    vault, key = f"{folder}/vault", house.path("keys", "vault.key")
    shutil.copytree(house.path("vault"), vault)
    if broken == "vault":
        shutil.rmtree(vault)
    elif broken == "marker":
        os.remove(f"{vault}/holdfast-vault")
    elif broken == "key":
        key = f"{folder}/no-key"
    elif broken == "source":
        shutil.rmtree(f"{vault}/tenants/default/sources")
    cluster = "ordres" if broken == "cluster" else "orders"
    code, content = fetch(orders.segment, "--vault", vault, "--key-file", key, "--cluster",
                          cluster)
    if broken == "nothing":
        assert (code, content) == (0, orders.segment_bytes)
        assert fetch("0000000100000000000000F0", "--vault", vault, "--key-file", key,
                     "--cluster", "orders")[0] == END_OF_WAL
    else:
        assert code == ABORTS


# Whole servers

@pytest.fixture
def copy_of(orders, house):
    """A server on a base backup without any WAL: all of it must come from `wal fetch`."""
    made = []

    def make(signal, **settings):
        server = Postgres(proc.new_folder("hf-pg-"), **settings)
        made.append(server)
        orders.tool("pg_basebackup", "-d", orders.dsn("postgres"), "-D", server.data, "-X", "none",
                    "-c", "fast")
        for name in os.listdir(os.path.join(server.data, "pg_wal")):
            path = os.path.join(server.data, "pg_wal", name)
            if os.path.isfile(path):
                os.remove(path)
        with open(os.path.join(server.data, signal), "w", encoding="utf-8"):
            pass
        proc.give_to_server_user(os.path.join(server.data, signal))
        # Not on the command line: what names the installation there is ended with it.
        with open(os.path.join(server.data, "postgresql.auto.conf"), "a", encoding="utf-8") as file:
            file.write(f"restore_command = '{command(house, 'fetch', '%f %p')}'\n")
        return server

    yield make
    for server in made:
        server.kill()
        proc.remove_folder(server.folder)


def test_servers__recovery_stops_when_nothing_answers(house, orders, copy_of):
    """PostgreSQL must not take a service that is down for the end of WAL and promote: it ends,
    and recovers everything when the service is back."""
    server = copy_of("recovery.signal", archive_mode="off")
    fill(orders, 300)
    rows = orders.psql(COUNT)
    switch(orders)
    house.down()
    try:
        server.start(wait=False)
        assert server.process.wait(60) != 0
        assert "exit code 255" in server.log_text()
        assert os.path.exists(os.path.join(server.data, "recovery.signal"))
    finally:
        house.up()
    server.start()
    proc.wait_until(lambda: server.psql("select pg_is_in_recovery()") == "f", what="promotion",
                    timeout=60)
    assert server.psql(COUNT) == rows


def test_servers__standby_follows_the_vault_and_is_promoted(house, orders, copy_of, restore):
    """A standby that knows no primary, only `wal fetch`; its promotion makes a timeline, which
    its archiver pushes, history first."""
    standby = copy_of("standby.signal", archive_mode="on", hot_standby="on").start()
    fill(orders, 500)
    rows = orders.psql(COUNT)
    switch(orders)
    proc.wait_until(lambda: standby.psql(COUNT) == rows, what="rows by the vault", timeout=60)
    assert standby.psql("select count(*) from pg_stat_wal_receiver") == "0"
    orders.stop()
    standby.promote()
    fill(standby, 7)
    segment = switch(standby)
    assert "00000002.history.done" in idle_status(standby)
    assert archived(standby)[1] == "0"
    assert segment.startswith("00000002")
    path = os.path.join(restore.folder, "fetched")
    for name in ("00000002.history", segment):
        house.run("wal", "fetch", name, path, "--cluster", "orders")
        with open(path, "rb") as file:
            assert file.read() == bytes_of(standby, name)
    after = restore("orders", "--latest").verify().start_promoted()
    assert after.psql(COUNT) == standby.psql(COUNT)
