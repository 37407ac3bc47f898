"""One installation for each file of attacks, and the record of what was tried."""

import json
import os
import types

import pytest

import record
from support import proc
from support.holdfast import Holdfast
from support.postgres import Postgres


@pytest.fixture(scope="module")
def start_server(postgres_templates):
    """start_server(version=15, wal_level=…) → a running server, ended with the file."""
    servers = []

    def start(version=15, **settings):
        server = Postgres(proc.new_folder("hf-pg-"), version=version, **settings)
        servers.append(server)
        return server.create(postgres_templates(version)).start().add_roles()

    yield start
    for server in servers:
        server.kill()
        proc.remove_folder(server.folder)


@pytest.fixture(scope="module")
def house(programs):
    """The file's `holdfast up`."""
    home = proc.new_folder("hf-up-")
    holdfast = Holdfast(os.path.join(home, "dir"))
    try:
        yield holdfast.up()
    finally:
        holdfast.down()
        proc.remove_folder(home)


@pytest.fixture(scope="session")
def attacked(programs, postgres_templates):
    """One installation with a cluster `orders` and a backup of it, for files that leave it whole:
    attacked.house and attacked.source (.backup, .segment: names)."""
    home = proc.new_folder("hf-up-")
    source = Postgres(proc.new_folder("hf-pg-"))
    holdfast = Holdfast(os.path.join(home, "dir"))
    try:
        holdfast.up()
        source.create(postgres_templates(15)).start().add_roles()
        source.pgbench("-i", "-q", "-s", "1")
        holdfast.add_cluster("orders", source)
        source.backup = holdfast.backup("orders")["name"]
        source.psql("select pg_switch_wal()")
        source.segment = source.psql("select pg_walfile_name(pg_current_wal_lsn())")
        yield types.SimpleNamespace(house=holdfast, source=source)
    finally:
        holdfast.down()
        source.kill()
        proc.remove_folder(home)
        proc.remove_folder(source.folder)


@pytest.fixture(scope="session")
def is_long():
    """`make attack` rather than `make test`."""
    return record.is_long()


@pytest.fixture(scope="session")
def seed():
    """HOLDFAST_ATTACK_SEED, or one for today's code: a run can be repeated."""
    return int(os.environ.get("HOLDFAST_ATTACK_SEED", "7"))


@pytest.fixture(scope="session")
def attempts():
    """attempts.add(role, place, what, expected, is_held): a row of docs/security.md."""
    made = record.Attempts()
    yield made
    out = os.environ.get("HOLDFAST_ATTACK_OUT")
    if out:
        with open(out, "a", encoding="utf-8") as file:
            for row in made.rows():
                file.write(json.dumps(row) + "\n")
