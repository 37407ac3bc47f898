"""kill -9 of our processes in the middle of a backup, a flushed Redis, a full disk.

Whatever is killed, the job ends as SUCCEEDED and has one effect: one backup, one journal entry.
"""

import glob
import json
import os
import signal
import subprocess
from datetime import datetime, timedelta

import pytest

from support import proc
from support.holdfast import Holdfast
from support.restored import Restored
from support.session import Ledger, Session
from support.state import open_state

SENDER = "select pid from pg_stat_progress_basebackup where backup_streamed > 10000000"


@pytest.fixture(scope="module")
def orders(house, source):
    source.pgbench("-i", "-q", "-s", "20")
    house.add_cluster("orders", source)
    return source


def start_backup(house, pg):
    """`backup create --wait` in the middle of copying, its job, and the source's process that
    sends the copy: stopped, so that the middle lasts until it is continued."""
    command = subprocess.Popen(
        [house.program, "backup", "create", "orders", "--wait", "-o", "json"], env=house.env,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with Session(pg) as session:
        sender = proc.wait_until(lambda: session.run(SENDER), what="a copy", interval=0.002)[0]
    os.kill(int(sender), signal.SIGSTOP)
    return command, house.hf("job", "list", "--state", "RUNNING")["jobs"][0], int(sender)


def journal(house):
    """IDs of the backups that the vault itself knows."""
    words = ["--vault", house.path("vault"), "--key-file", house.path("keys", "vault.key")]
    return sorted(name.split("/")[-1]
                  for name in house.run("backup", "list", *words, "-o", "name").stdout.split())


def finish(command):
    said, errors = command.communicate(timeout=170)
    assert command.returncode == 0, errors
    return json.loads(said)


def check_one_effect(house, before, job, made):
    assert made["state"] == "SUCCEEDED" and made["name"] == job["target"]
    assert house.hf("job", "describe", job["name"])["state"] == "SUCCEEDED"
    here = made["name"].split("/")[-1]
    assert journal(house) == sorted([*before, here])
    listed = [item["name"] for item in house.hf("backup", "list", "orders")["backups"]
              if item["state"] == "SUCCEEDED"]
    assert len(listed) == len(before) + 1 and made["name"] in listed


def check_restorable(restore, pg, made):
    server = restore("orders", "--latest", "--backup", made["name"]).verify().start_promoted()
    assert server.psql("select count(*) from pgbench_accounts") == \
        pg.psql("select count(*) from pgbench_accounts")


@pytest.mark.parametrize("names", [("backup",), ("redis",), ("postgres",), ("supervisor",), ()],
                         ids=["service", "redis", "postgres", "supervisor", "everything"])
def test_kill9__in_a_backup_leaves_one_effect(house, orders, restore, names):
    assert set(names) <= set(house.note_processes())
    before = journal(house)
    command, job, sender = start_backup(house, orders)
    house.kill(*names)
    proc.send(sender, signal.SIGCONT)
    house.up()
    made = finish(command)
    check_one_effect(house, before, job, made)
    check_restorable(restore, orders, made)


def test_kill9__leaves_the_wal_without_a_gap(house, orders):
    status = proc.wait_until(
        lambda: (lambda now: now["receiverState"] == "STREAMING" and now)(
            house.hf("wal", "status", "orders")), what="a receiver that streams")
    assert status["gaps"] == []
    assert orders.psql("select count(*) from pg_replication_slots") == "1"


def test_receiver__starts_when_the_vault_is_whole_again(house, orders):
    """A journal that cannot be read at the start leaves the WAL unreceived only as long as that."""
    def state():
        done = house.run("wal", "status", "orders", "-o", "json", check=False)
        return done.returncode == 0 and json.loads(done.stdout).get("receiverState")

    house.backup("orders")
    journals = glob.glob(house.path("vault", "tenants", "default", "sources", "*", "journal"))
    house.down()
    for name in journals:
        os.rename(name, f"{name}.away")
    try:
        house.up()
        assert journals and state() != "STREAMING"
        wal = house.hf("wal", "status", "orders")
        assert wal["errorReason"] == "JOURNAL_ROLLBACK" and wal["receiverState"] == "WAITING"
        said = house.run("info").stdout
        assert "orders: WAL DOES NOT STREAM: " in said and wal["error"] in said
        assert "can be restored" not in said and "orders: NOT RECOVERABLE: the vault " in said
        advice = house.run("doctor", check=False).stdout
        assert wal["error"] in advice and "when the vault is again as it was" in advice
        assert "psql" not in advice
    finally:
        for name in journals:
            os.rename(f"{name}.away", name)
    proc.wait_until(lambda: state() == "STREAMING", timeout=60, what="a receiver that streams")


def test_info__keeps_its_window_over_a_start_without_the_source(house, orders):
    def seen():
        wal = house.info()["clusters"][0]["wal"]
        return wal, datetime.fromisoformat(wal["windowEnd"])

    house.backup("orders")
    wal, end = seen()
    proc.wait_until(lambda: seen()[1] > end + timedelta(seconds=2), what="a later proof on disk")
    orders.stop()
    house.down()
    try:
        house.up()
        proc.wait_until(lambda: seen()[0]["receiverState"] == "WAITING", what="an absent source")
        after, after_end = seen()
        assert after_end >= end and after["windowStart"] == wal["windowStart"]
        assert after["durableLsn"] != "0/0" and after["timeline"] == wal["timeline"]
    finally:
        orders.start()


def test_backup__waits_for_the_wal_stream_before_it_copies(house, orders):
    """The slot is another's for a while: nothing is copied whose WAL would be missing."""
    slot = house.hf("wal", "status", "orders")["slot"]
    house.down()
    other = subprocess.Popen([os.path.join(orders.bin, "pg_receivewal"), "-D", orders.folder, "-d",
                              orders.dsn(), "-S", slot], stderr=subprocess.DEVNULL)
    try:
        active = f"select active from pg_replication_slots where slot_name = '{slot}'"
        proc.wait_until(lambda: orders.psql(active) == "t", what="a slot in use")
        house.up()
        job = house.run("backup", "create", "orders").stdout.strip()
        proc.wait_until(lambda: house.hf("job", "describe", job).get("progress", {}).get("phase")
                        == "waiting for the WAL stream", what="a backup that waits")
        assert orders.psql("select count(*) from pg_stat_progress_basebackup") == "0"
    finally:
        proc.end(other.pid)
        other.wait(20)
    done = house.hf("job", "watch", job)
    assert done["state"] == "SUCCEEDED" and done["attempt"] == 1


def test_redis__lost_in_a_backup_costs_nothing(house, orders):
    before = journal(house)
    command, job, sender = start_backup(house, orders)
    for _ in range(2):
        house.kill("redis")
        proc.wait_until(lambda: "redis" in house.note_processes(), what="Redis again")
    proc.send(sender, signal.SIGCONT)
    check_one_effect(house, before, job, finish(command))
    assert house.backup("orders")["state"] == "SUCCEEDED"  # and the next one is found, too


def test_cancel__behind_the_journal_entry_comes_too_late(house, orders):
    """What the vault holds is a backup, whatever was asked for between that and the catalogue."""
    state = open_state(house)
    before = journal(house)
    state.psql("""
        create function backup.held() returns trigger language plpgsql as $$
        begin
            if exists (select from backup.jobs where state = 'running'
                       and phase = 'waiting for WAL') then perform pg_sleep(10); end if;
            return new;
        end $$;
        create trigger held before update of journal_head on backup.clusters
        for each row execute function backup.held()""")
    try:
        command = subprocess.Popen(
            [house.program, "backup", "create", "orders", "--wait", "-o", "json"], env=house.env,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        proc.wait_until(lambda: len(journal(house)) > len(before), what="the entry", timeout=60)
        job = house.hf("job", "list", "--state", "RUNNING")["jobs"][0]
        house.run("job", "cancel", job["name"])
        made = finish(command)
    finally:
        state.psql("drop function backup.held() cascade")
    check_one_effect(house, before, job, made)


class SmallVault:
    """An installation whose vault lies on a file system of its own, which can be filled."""

    def __init__(self, home, megabytes):
        self.house = Holdfast(os.path.join(home, "dir")).up()
        self.place = self.house.path("vault")
        self.house.down()
        aside = f"{home}/aside"
        os.rename(self.place, aside)
        os.mkdir(self.place)
        proc.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", self.place])
        proc.run(["cp", "-a", f"{aside}/.", self.place])
        self.house.up()

    def fill(self):
        with open(f"{self.place}/filler", "wb") as file:
            try:
                while True:
                    file.write(b"x" * 65536)
                    file.flush()
            except OSError:
                pass

    def empty(self):
        os.unlink(f"{self.place}/filler")

    def end(self):
        self.house.down()
        proc.run(["umount", "-l", self.place], check=False)


@pytest.fixture
def small(programs):
    home = proc.new_folder("hf-up-")
    vault = SmallVault(home, 96)
    yield vault
    vault.end()
    proc.remove_folder(home)


def stands_still(ledger):
    """Whether nobody was promised anything for half a second."""
    seen = ledger.count()
    try:
        proc.wait_until(lambda: ledger.count() > seen, timeout=0.5)
    except AssertionError:
        return True
    return False


def test_full_disk__stops_promises_and_recovers(small, start_server, folder):
    house, pg = small.house, start_server()
    house.add_cluster("orders", pg)
    house.backup("orders")
    pg.psql("alter system set synchronous_standby_names = 'holdfast_orders'")
    pg.psql("select pg_reload_conf()")
    ledger = Ledger(pg).start()
    proc.wait_until(lambda: ledger.count() > 100, what="promised commits")
    small.fill()
    proc.wait_until(lambda: stands_still(ledger), timeout=60, what="a standstill")
    failed = house.run("backup", "create", "orders", check=False)
    promised = ledger.count()
    small.empty()
    proc.wait_until(lambda: ledger.count() > promised + 100, timeout=60, what="new promises")
    assert failed.returncode == 0
    house.run("job", "watch", failed.stdout.strip(), check=False)
    pg.destroy_data()
    ledger.join()
    proc.give_to_server_user(folder)
    house.run("restore", "orders", "--to", f"{folder}/r", "--latest")
    server = Restored(f"{folder}/r").verify().start_promoted()
    try:
        assert ledger.missing(server) == []
    finally:
        server.kill()
