"""The source's settings after `cluster add`: what changes there is known here, without a command."""

import json

import pytest

from support import proc

FIX = "ALTER SYSTEM SET max_slot_wal_keep_size"


@pytest.fixture
def orders(house, start_server):
    """A source whose settings are in its files, so that ALTER SYSTEM reaches them."""
    pg = start_server()
    del pg.settings["max_slot_wal_keep_size"]
    keep(pg, "4GB")
    pg.restart()
    house.add_cluster("orders", pg)
    proc.wait_until(lambda: house.hf("wal", "status", "orders")["receiverState"] == "STREAMING",
                    what="the stream")
    return pg


def keep(pg, size):
    pg.psql(f"alter system set max_slot_wal_keep_size = '{size}'")
    pg.psql("select pg_reload_conf()")


def fixes(house):
    """What doctor says to do about the cluster."""
    text = house.run("doctor", "-o", "json", check=False).stdout
    return [check["fix"] for check in json.loads(text)["checks"]
            if check["name"] == "cluster orders"]


def warned(house):
    """Whether everything that a person may look at warns; nothing may say otherwise for long."""
    said = {house.hf("wal", "status", "orders")["slotIsUnbounded"],
            FIX in house.run("wal", "status", "orders").stdout,
            any(FIX in text for text in house.hf("cluster", "describe", "orders")["warnings"]),
            any(FIX in fix for fix in fixes(house))}
    return said.pop() if len(said) == 1 else None


def test_settings__an_unbounded_slot_is_warned_of_as_long_as_it_is_one(house, orders):
    assert warned(house) is False
    etag = house.hf("cluster", "describe", "orders")["etag"]
    keep(orders, "-1")
    proc.wait_until(lambda: warned(house) is True, what="a warning", interval=0.5)
    keep(orders, "4GB")
    # A connection that is new is looked at at once.
    orders.psql("select pg_terminate_backend(pid) from pg_stat_replication")
    proc.wait_until(lambda: warned(house) is False, what="no warning", interval=0.5)
    assert house.hf("cluster", "describe", "orders")["etag"] == etag
