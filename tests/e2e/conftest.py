"""One installation and one source per file: what they cost is paid once."""

import os

import pytest

from support import proc
from support.holdfast import Holdfast
from support.postgres import Postgres
from support.restored import Restored


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
def source(start_server):
    """The file's PostgreSQL 15."""
    return start_server()


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


@pytest.fixture
def restore(house):
    """restore("orders", "--latest") → a Restored that is not started, gone after the test."""
    folder = proc.new_folder("hf-restore-")
    proc.give_to_server_user(folder)
    made = []

    def run(cluster, *words, name=None, version=15, **options):
        data = os.path.join(folder, name or f"r{len(made)}")
        done = house.run("restore", cluster, "--to", data, *words, **options)
        restored = Restored(data, version=version)
        restored.said, restored.printed = done.stderr, done.stdout
        made.append(restored)
        return restored

    run.folder = folder
    yield run
    for restored in made:
        restored.kill()
    proc.remove_folder(folder)
