"""One source per file, and restores of it; the installation is tests/conftest.py's."""

import os

import pytest

from support import proc
from support.restored import Restored


@pytest.fixture(scope="module")
def source(start_server):
    """The file's PostgreSQL 15."""
    return start_server()


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
