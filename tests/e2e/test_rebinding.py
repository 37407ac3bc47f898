"""A name that answers an honest address first and another one at the reconnect: DNS rebinding, with a
real resolver. The installation sees a DNS server of the test and no other.
"""

import os

import pytest

from support import proc
from support.holdfast import installation
from support.names import Names
from support.postgres import PASSWORD

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has port 53 and mounts")
HONEST = ["127.0.0.1"]


@pytest.fixture(scope="module")
def names():
    folder = proc.new_folder("hf-names-")
    made = Names(folder, db_test=HONEST)
    yield made
    made.close()
    proc.remove_folder(folder)


@pytest.fixture(scope="module")
def house(programs, names):
    with installation(names.prefix) as holdfast:
        yield holdfast


@pytest.fixture(scope="module")
def moving(house, source):
    """orders, which streams from db.test."""
    dsn = source.tcp_dsn().replace("127.0.0.1", "db.test")
    house.hf("cluster", "add", "orders", "--dsn", dsn, "--password-stdin", stdin=PASSWORD)
    await_state(house, "STREAMING")
    return source


def seen(house):
    return house.hf("cluster", "describe", "orders")


def await_state(house, state):
    return proc.wait_until(lambda: (now := seen(house))["state"] == state and now, timeout=60,
                           what=f"orders is {state}")


@pytest.mark.parametrize("answer, reason", [
    (["169.254.169.254"], "ADDRESS_METADATA"), (["169.254.7.7"], "ADDRESS_LINK_LOCAL"),
    ([*HONEST, "169.254.7.7"], "ADDRESS_LINK_LOCAL"), (["0.0.0.0"], "ADDRESS_UNSPECIFIED")])
def test_rebinding__is_refused_at_the_reconnect_and_red(house, names, moving, answer, reason):
    asked = len(names.asked)
    names.answers["db_test"] = answer
    moving.psql("select pg_terminate_backend(pid) from pg_stat_replication")
    try:
        now = proc.wait_until(lambda: (now := seen(house))["wal"].get("errorReason") == reason and now,
                              timeout=60, what=f"the reason {reason}")
        assert "db.test" in names.asked[asked:], "the name was asked anew"
        assert now["state"] == "DISCONNECTED" and "db.test" in now["wal"]["error"]
        assert moving.psql("select count(*) from pg_stat_replication") == "0"
        doctor = house.run("doctor", check=False)
        assert doctor.returncode != 0 and "db.test" in doctor.stdout
        assert "db.test" in house.run("info").stdout
    finally:
        names.answers["db_test"] = HONEST
    await_state(house, "STREAMING")
