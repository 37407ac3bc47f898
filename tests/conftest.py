"""Fixtures: private servers, the programs under test, and clients. See tests/README.md."""

import os

import pytest

from support import proc
from support.grpc import Grpcurl
from support.holdfast import bin_folder, installation
from support.postgres import Postgres, running_servers


@pytest.fixture(scope="session")
def postgres_templates():
    """Data directories fresh from initdb, one per version, to be copied."""
    folder = proc.new_folder("hf-template-")
    made = {}

    def template(version):
        if version not in made:
            home = os.path.join(folder, str(version))
            os.mkdir(home, 0o755)
            made[version] = Postgres(home, version=version).create().data
        return made[version]

    yield template
    proc.remove_folder(folder)


@pytest.fixture
def folder():
    """An empty folder under /tmp that servers of another user can enter."""
    path = proc.new_folder()
    yield path
    proc.remove_folder(path)


@pytest.fixture
def start_postgres(postgres_templates):
    """start_postgres(version=15, wal_level=…, …) → a running server, ended with the test."""
    with running_servers(postgres_templates) as start:
        yield start


@pytest.fixture(scope="module")
def start_server(postgres_templates):
    """The same, ended with the file."""
    with running_servers(postgres_templates) as start:
        yield start


@pytest.fixture
def pg(start_postgres):
    """A running PostgreSQL 15 with the role `holdfast`."""
    return start_postgres()


@pytest.fixture(scope="session")
def programs():
    """Folder of the programs under test."""
    path = bin_folder()
    assert os.path.exists(os.path.join(path, "holdfast")), f"{path}/holdfast is missing: run make"
    return path


@pytest.fixture
def holdfast_dir(programs):
    """The test's `holdfast up` (support.holdfast.Holdfast)."""
    with installation() as holdfast:
        yield holdfast


@pytest.fixture(scope="module")
def house(programs):
    """The file's `holdfast up`: what it costs is paid once."""
    with installation() as holdfast:
        yield holdfast


@pytest.fixture
def hf(holdfast_dir):
    """hf("backup", "list", "orders") → what the command printed as JSON."""
    return holdfast_dir.hf


@pytest.fixture
def grpcurl(holdfast_dir):
    """grpcurl("holdfast.backup.v1.BackupService/ListBackups", {…}) → Reply."""
    return Grpcurl(holdfast_dir.endpoint(), holdfast_dir.certs())


@pytest.fixture
def psql(pg):
    """psql("select 1") on the fixture pg."""
    return pg.psql


@pytest.fixture
def pgbench(pg):
    """pgbench("-i", "-s", "1") on the fixture pg."""
    return pg.pgbench
