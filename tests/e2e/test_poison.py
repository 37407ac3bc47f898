"""Stored values that cannot be: written by hand, or by a version that knew no limits.

Each column of each table of the backup schema gets its extremes, one after another. The row shows as
damaged or is read as it is; nobody else notices; the process stays. Then all of them at once, over a
restart of the service: lists, doctor, metrics, reaper, rebuild.
"""

import os
import time

import pytest

from support import proc
from support.reflected import Client, Schema
from support.session import Session
from support.state import open_state

TENANT = "tenants/default"
SERVICES = ["holdfast.backup.v1.BackupService", "holdfast.jobs.v1.JobService"]
TABLES = ["clusters", "backups", "restores", "gaps"]
KEYS = {"tenant_id", "cluster_id", "id", "name", "delete_time"}

LONG = "repeat('x', 9000000)"
ODD = r"E'a\x1b[2J\u202e\u200b' || repeat(E'\n', 1000)"
EXTREMES = {
    "text": [LONG, ODD],
    "integer": ["-2147483648", "2147483647"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "numeric": ["-1", "99999999999999999999", "'NaN'"],
    "timestamp with time zone": ["'infinity'", "'11476-01-01'", "'0044-03-15 BC'"],
    "bytea": ["'x'", "decode(repeat('00', 9000000), 'hex')"],
    "boolean": [],
    "uuid": [],
}


def copied(psql, table, where, **values):
    """Inserts a copy of a row with other values; the columns are those of the schema now."""
    columns = psql("select string_agg(column_name, ',' order by ordinal_position) from "
                          "information_schema.columns where table_schema = 'backup' and "
                          f"table_name = '{table}'")[0].split(",")
    chosen = ", ".join(values.get(column, column) for column in columns)
    psql(f"insert into backup.{table} ({', '.join(columns)}) "
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
        self.client("BackupService/CreateRestore", {"parent": f"{TENANT}/clusters/orders"}).reply
        psql("""
            do $$ declare c record; begin
              for c in select conrelid::regclass as t, conname from pg_constraint
                       where connamespace = 'backup'::regnamespace and contype = 'c'
                         and conrelid::regclass::text ~ '(clusters|backups|restores|gaps)$' loop
                execute format('alter table %s drop constraint %I', c.t, c.conname);
              end loop; end $$""")
        copied(psql, "clusters", "name = 'orders'", id=self.ID, name="'victim'",
               slot="'holdfast_victim_000000'")
        for table in ("backups", "restores"):
            copied(psql, table, "true", cluster_id=self.ID)
        psql("insert into backup.gaps (tenant_id, cluster_id, lineage, timeline, from_lsn, "
                    f"to_lsn) select tenant_id, {self.ID}, 'l1', 1, 1, 2 from backup.clusters "
                    "where name = 'victim'")
        self.pid = house.note_processes()["backup"]

    def columns(self, table):
        rows = self.psql("select column_name, data_type from information_schema.columns "
                                f"where table_schema = 'backup' and table_name = '{table}'")
        keys = KEYS | ({"lineage"} if table == "gaps" else set())  # of an index: it has its own limit
        return [row.split("|") for row in rows if row.split("|")[0] not in keys]

    def poison(self, table, column, value):
        mine = "id" if table == "clusters" else "cluster_id"
        self.psql(f"update backup.{table} set {column} = {value} where {mine} = {self.ID}")

    def save(self):
        for table in TABLES:
            self.psql(f"create table if not exists public.saved_{table} as "
                             f"select * from backup.{table}")

    def heal(self, table, column):
        mine = "id" if table == "clusters" else "cluster_id"
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
            for value in EXTREMES[kind]:
                poisoned.poison(table, column, value)
                try:
                    victim, points = poisoned.others_are_served()
                    one = poisoned.client("BackupService/GetCluster", {"name": victim.name})
                    for point in points:
                        poisoned.client("BackupService/GetBackup", {"name": point.name}).reply
                    shown = [text for item in [victim, *points, one.reply] for text in texts(item)]
                    assert all("\x1b" not in text and "\u202e" not in text for text in shown)
                    assert sum(map(len, shown)) < 200_000
                except AssertionError as failed:
                    blocked.append(f"{table}.{column} = {value[:40]}: {failed}"[:300])
                poisoned.heal(table, column)
                assert poisoned.is_alive(), f"{table}.{column} = {value[:40]}"
    assert blocked == []


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
    assert "orders" in house.run("doctor", check=False).stdout
    assert house.run("catalog", "rebuild", check=False, timeout=60).returncode in (0, 1)
    house.backup("orders")
    time.sleep(2)
    assert poisoned.is_alive()
    assert os.path.isdir(house.folder)
