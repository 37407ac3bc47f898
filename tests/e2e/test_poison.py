"""Stored values that cannot be: written by hand, or by a version that knew no limits.

Each column of each table of clusters, backups, restores, gaps and jobs gets its extremes, one after
another. The row shows as damaged or is read as it is; lists, watches and metrics answer, nobody else
notices; the process stays. Then all of them at once, over a restart of the service: doctor, reaper,
rebuild, too. And what a client may write itself: a report of a restore with each field at its extremes.
"""

import os
import re
import shutil
import time
import urllib.request

import pytest
import yaml

from support import proc
from support.reflected import Client, Schema, reason
from support.session import Session
from support.state import open_state

TENANT = "tenants/default"
SERVICES = ["holdfast.backup.v1.BackupService", "holdfast.jobs.v1.JobService"]
TABLES = ["clusters", "backups", "restores", "gaps", "jobs", "jobs_archive"]
BY_CLUSTER = {"backups", "restores", "gaps"}  # the others by their own id
KEYS = {"tenant_id", "cluster_id", "id", "name", "delete_time"}
INDEXED = {"gaps": {"lineage"}, "jobs_archive": {"target"}}  # an index has its own limit
ENDING = {"jobs": {"external_ttl_s"}}  # whereby the reaper ends the row itself

LONG = "repeat('x', 9000000)"
ODD = r"E'a\x1b[2J\u202e\u200b' || repeat(E'\n', 1000)"
EXTREMES = {
    "text": [LONG, ODD],
    "smallint": ["-32768", "32767"],
    "integer": ["-2147483648", "2147483647"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "numeric": ["-1", "99999999999999999999", "'NaN'"],
    "timestamp with time zone": ["'infinity'", "'11476-01-01'", "'0044-03-15 BC'"],
    "bytea": ["'x'", "decode(repeat('00', 9000000), 'hex')"],
    "boolean": [],
    "uuid": [],
}


def copied(psql, table, where, into="", **values):
    """Inserts a copy of a row with other values; the columns are those of the schema now."""
    columns = psql("select string_agg(column_name, ',' order by ordinal_position) from "
                          "information_schema.columns where table_schema = 'backup' and "
                          f"table_name = '{table}'")[0].split(",")
    chosen = ", ".join(values.get(column, column) for column in columns)
    psql(f"insert into backup.{into or table} ({', '.join(columns)}) "
         f"select {chosen} from backup.{table} where {where}")


class Poisoned:
    """orders is honest; victim is a row beside it with a backup, a restore and a gap."""

    ID = "'00000000-0000-7000-8000-00000000f00d'::uuid"

    def __init__(self, house, source):
        self.house = house
        self.session = Session(open_state(house))
        psql = self.psql = self.session.run
        house.add_cluster("orders", source)
        self.point = house.backup("orders")
        self.schema = Schema(house.endpoint(), house.certs(), SERVICES)
        self.client = Client(self.schema, house.endpoint(), house.certs())
        self.restore().reply
        psql("""
            do $$ declare c record; begin
              for c in select conrelid::regclass as t, conname from pg_constraint
                       where connamespace = 'backup'::regnamespace and contype = 'c'
                         and conrelid::regclass::text ~ '(clusters|backups|restores|gaps|jobs|jobs_archive)$' loop
                execute format('alter table %s drop constraint %I', c.t, c.conname);
              end loop; end $$""")
        copied(psql, "clusters", "name = 'orders'", id=self.ID, name="'victim'",
               slot="'holdfast_victim_000000'")
        for table in ("backups", "restores"):
            copied(psql, table, "true", cluster_id=self.ID)
        psql("insert into backup.gaps (tenant_id, cluster_id, lineage, timeline, from_lsn, "
                    f"to_lsn) select tenant_id, {self.ID}, 'l1', 1, 1, 2 from backup.clusters "
                    "where name = 'victim'")
        # Of the two jobs of orders, the restore's runs on, and the backup's has ended.
        copied(psql, "jobs", "state = 'running'", id=self.ID, external_ttl_s="1000000")
        copied(psql, "all_jobs", "state = 'succeeded' limit 1", into="jobs_archive", id=self.ID)
        with open(house.path("backup.yaml"), encoding="utf-8") as file:
            self.metrics = f"http://{yaml.safe_load(file)['metrics_listen']}/metrics"
        self.pid = house.note_processes()["backup"]

    def restore(self):
        return self.client("BackupService/CreateRestore", {"parent": f"{TENANT}/clusters/orders"})

    def columns(self, table):
        rows = self.psql("select column_name, data_type from information_schema.columns "
                                f"where table_schema = 'backup' and table_name = '{table}'")
        keys = KEYS | INDEXED.get(table, set())
        return [row.split("|") for row in rows if row.split("|")[0] not in keys]

    def poison(self, table, column, value):
        mine = "cluster_id" if table in BY_CLUSTER else "id"
        self.psql(f"update backup.{table} set {column} = {value} where {mine} = {self.ID}")

    def save(self):
        for table in TABLES:
            self.psql(f"create table if not exists public.saved_{table} as "
                             f"select * from backup.{table}")

    def heal(self, table, column):
        mine = "cluster_id" if table in BY_CLUSTER else "id"
        same = "s.id = t.id" if table != "gaps" else "s.timeline is not null"
        self.psql(f"update backup.{table} t set {column} = s.{column} from "
                         f"public.saved_{table} s where t.{mine} = {self.ID} and "
                         f"s.{mine} = {self.ID} and {same}")

    def others_are_served(self):
        seen = self.client("BackupService/ListClusters", {"parent": TENANT}).reply
        names = {item.name.split("/")[-1]: item for item in seen.clusters}
        assert set(names) == {"orders", "victim"}
        assert not names["orders"].damage
        points = self.client("BackupService/ListBackups",
                             {"parent": f"{TENANT}/clusters/-"}).reply
        assert len(points.backups) >= 2
        assert len(self.client("BackupService/ListRestores",
                               {"parent": f"{TENANT}/clusters/-"}).reply.restores) >= 2
        return names["victim"], [item for item in points.backups if "/victim/" in item.name]

    def jobs_are_served(self):
        """The list, a watch of an ended job of orders, a watch of the victim; the victim's texts."""
        listed = self.client("JobService/ListJobs", {"parent": TENANT}).reply.jobs
        mine = [job for job in listed if job.name.endswith(self.ID.split("'")[1])]
        ended = [job for job in listed if job not in mine and job.HasField("end_time")]
        assert mine and ended, [job.name for job in listed]
        assert self.client("JobService/WatchJob", {"name": ended[0].name}).replies[-1].job == ended[0]
        watched = self.client("JobService/WatchJob", {"name": mine[0].name}, timeout=0.3)
        assert watched.code in ("OK", "DEADLINE_EXCEEDED") and watched.replies, watched
        return [*mine, *(reply.job for reply in watched.replies)]

    def scraped(self):
        """The metrics, each line of which is one of the text format."""
        with urllib.request.urlopen(self.metrics, timeout=10) as answer:
            text = answer.read().decode()
        bad = [line for line in text.splitlines()
               if not re.fullmatch(r'#.*|[a-z_]+({[^{}]*})? -?[0-9.e+-]+', line)]
        assert not bad and 'cluster="orders"' in text, bad[:3]

    def is_alive(self):
        return proc.is_alive(self.pid)


@pytest.fixture(scope="module")
def poisoned(house, source):
    made = Poisoned(house, source)
    made.save()
    yield made
    made.client.close()
    made.session.close()


def texts(message):
    """Every text of a message."""
    for field, value in message.ListFields():
        values = value if field.label == field.LABEL_REPEATED else [value]
        for item in values:
            if isinstance(item, str):
                yield item
            elif hasattr(item, "ListFields"):
                yield from texts(item)


def test_poison__of_each_column_harms_nobody_else(poisoned):
    blocked = []
    for table in TABLES:
        for column, kind in poisoned.columns(table):
            for value in EXTREMES[kind] if column not in ENDING.get(table, ()) else []:
                poisoned.poison(table, column, value)
                try:
                    victim, points = poisoned.others_are_served()
                    one = poisoned.client("BackupService/GetCluster", {"name": victim.name})
                    for point in points:
                        poisoned.client("BackupService/GetBackup", {"name": point.name}).reply
                    jobs = poisoned.jobs_are_served() if table.startswith("jobs") else []
                    poisoned.scraped()
                    shown = [text for item in [victim, *points, one.reply, *jobs]
                             for text in texts(item)]
                    assert all("\x1b" not in text and "\u202e" not in text for text in shown)
                    assert sum(map(len, shown)) < 200_000
                except AssertionError as failed:
                    blocked.append(f"{table}.{column} = {value[:40]}: {failed}"[:300])
                poisoned.heal(table, column)
                assert poisoned.is_alive(), f"{table}.{column} = {value[:40]}"
    assert not blocked, "\n".join(blocked)


@pytest.mark.parametrize("column, value", [
    ("segment_bytes", "3"), ("create_time", "'11476-01-01'"), ("size_bytes", "-1"),
    ("lineage", "repeat('l', 100)"), ("system_identifier", "'x y'")])
def test_poison__shows_as_damaged(poisoned, column, value):
    poisoned.poison("clusters", column, value)
    try:
        victim, _ = poisoned.others_are_served()
        assert column in victim.damage
        table = poisoned.house.run("cluster", "list").stdout
        assert "DAMAGED" in next(line for line in table.splitlines() if line.startswith("victim"))
        assert column in poisoned.house.run("cluster", "describe", "victim").stdout
        assert column in poisoned.house.run("doctor", check=False).stdout
    finally:
        poisoned.heal("clusters", column)


def the_reaper_ticks(poisoned):
    """An honest job whose holder went quiet is ended, whatever stands beside it."""
    name = poisoned.restore().reply.job
    poisoned.psql("update backup.jobs set external_ttl_s = 1 where id = "
                  f"'{name.split('/')[-1]}'")
    proc.wait_until(lambda: poisoned.client("JobService/GetJob", {"name": name}).reply.HasField(
        "end_time"), timeout=60, what="the reaper")


def test_poison__of_all_at_once_survives_restart_rebuild_and_scrape(poisoned):
    house = poisoned.house
    for table in TABLES:
        for column, kind in poisoned.columns(table):
            if EXTREMES[kind] and column != "state":
                poisoned.poison(table, column, EXTREMES[kind][1])
    house.kill("backup")
    proc.wait_until(lambda: '"STREAMING"' in house.run("wal", "status", "orders", "-o", "json",
                                                       check=False).stdout,
                    timeout=60, what="the stream of orders after the restart")
    poisoned.pid = house.note_processes()["backup"]
    poisoned.client.close()
    poisoned.client = Client(poisoned.schema, house.endpoint(), house.certs())
    victim, points = poisoned.others_are_served()
    assert victim.damage and all(point.damage for point in points)
    poisoned.jobs_are_served()
    poisoned.scraped()
    the_reaper_ticks(poisoned)
    assert "orders" in house.run("doctor", check=False).stdout
    assert house.run("catalog", "rebuild", check=False, timeout=60).returncode in (0, 1)
    house.backup("orders")
    time.sleep(2)
    assert poisoned.is_alive()
    assert os.path.isdir(house.folder)


# Each field of a report at its extremes, and why it is refused.
REPORTS = [
    ({"restoredBytes": "-1"}, "OUT_OF_RANGE"), ({"restoredBytes": str(2**63 - 1)}, ""),
    ({"resolvedLsn": "FFFFFFFF/FFFFFFFF"}, ""), ({"resolvedLsn": "1FFFFFFFF/0"}, "OUT_OF_RANGE"),
    ({"resolvedLsn": "x" * 100_000}, "OUT_OF_RANGE"), ({"resolvedLsn": "-1/0"}, "OUT_OF_RANGE"),
    ({"resolvedTime": "0001-01-01T00:00:00Z"}, ""),
    ({"resolvedTime": "9999-12-31T23:59:59.999999999Z"}, ""),
    ({"target": "x" * 100_000, "directory": "y" * 100_000, "job": "z" * 100_000}, ""),
    ({"error": {"code": "c" * 100_000, "message": "m\x1b[2J\u202e" * 30_000,
                "reason": "r\x9b" * 50_000}}, ""),
    ({"backup": "b" * 100_000}, "INVALID_NAME"), ({"state": "STATE_UNSPECIFIED"}, "STATE_MISSING"),
    ({"endTime": "9999-12-31T23:59:59Z", "createTime": "0001-01-01T00:00:00Z"}, ""),
]
PROGRESS = [({"doneBytes": "-1"}, "OUT_OF_RANGE"), ({"totalBytes": "-1"}, "OUT_OF_RANGE"),
            ({"doneBytes": str(2**63 - 1), "totalBytes": "0"}, ""),
            ({"phase": "p\x1b\u202e\n" * 30_000, "doneBytes": "1", "totalBytes": str(2**63 - 1)}, "")]


def test_report_restore__is_bounded_in_every_field(poisoned):
    """What is taken is read back whole and clean; what is refused changes nothing."""
    name = poisoned.restore().reply.name

    def report(restore, progress):
        return poisoned.client("BackupService/ReportRestore", {
            "name": name, "restore": {"state": "RUNNING", **restore}, "progress": progress})

    for restore, progress, said in [*((row, {}, said) for row, said in REPORTS),
                                    *(({}, row, said) for row, said in PROGRESS)]:
        before = poisoned.client("BackupService/GetRestore", {"name": name}).reply
        answer = report(restore, progress)
        assert reason(answer) == said, (restore, progress, answer.message[:200])
        after = poisoned.client("BackupService/GetRestore", {"name": name}).reply
        job = poisoned.client("JobService/GetJob", {"name": after.job}).reply
        shown = [*texts(after), *texts(job), *texts(answer.replies[0] if not said else after)]
        assert sum(map(len, shown)) < 20_000, sorted((len(text), text[:40]) for text in shown)[-6:]
        assert all("\x1b" not in text and "\u202e" not in text and "\x9b" not in text
                   for text in shown)
        assert said == "" or after == before
    poisoned.scraped()
    assert poisoned.is_alive()


def test_fork__that_cannot_be_noted_begins_one_history_however_often(poisoned, source):
    """The source has lost WAL that is stored, and the state database takes no change of a cluster:
    tries that fail behind the entry in the vault take up what the first of them began."""
    house, kept = poisoned.house, f"{source.data}.before"

    def wal(key):
        return house.hf("wal", "status", "orders").get(key)

    source.stop()
    shutil.copytree(source.data, kept)
    proc.run(["chown", "-R", "--reference", source.data, kept])
    source.start().psql("create table lost as select generate_series(1, 10000)")
    proc.wait_until(lambda: wal("receiverState") == "STREAMING", what="the stream", timeout=60)
    source.psql("select pg_switch_wal()")
    source.stop()  # which waits until all of it is acknowledged
    poisoned.psql("revoke update on backup.clusters from holdfast_app")
    source.destroy_data()
    os.rename(kept, source.data)
    source.start()
    proc.wait_until(lambda: "permission denied" in (wal("error") or ""), timeout=60,
                    what="a try that failed")
    poisoned.psql("grant update on backup.clusters to holdfast_app")
    proc.wait_until(lambda: wal("receiverState") == "STREAMING", what="the stream", timeout=60)
    assert house.hf("cluster", "describe", "orders")["lineage"] == "l2"
