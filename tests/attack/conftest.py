"""One installation for the files that leave it whole, and the record of what was tried."""

import json
import os
import types

import pytest

import record
from support.holdfast import installation
from support.postgres import running_servers


@pytest.fixture(scope="session")
def attacked(programs, postgres_templates):
    """One installation with a cluster `orders` and a backup of it, for files that leave it whole:
    attacked.house and attacked.source (.backup, .segment: names)."""
    with installation() as house, running_servers(postgres_templates) as start:
        source = start()
        source.pgbench("-i", "-q", "-s", "1")
        house.add_cluster("orders", source)
        source.backup = house.backup("orders")["name"]
        source.psql("select pg_switch_wal()")
        source.segment = source.psql("select pg_walfile_name(pg_current_wal_lsn())")
        yield types.SimpleNamespace(house=house, source=source)


def pytest_collection_modifyitems(config, items):
    """In the short round what is marked `long` is another suite's."""
    if not record.is_long():
        left = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


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
