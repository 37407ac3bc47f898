"""Everything as an ordinary user, in the directory that XDG gives: no root, no user postgres."""

import os
import pwd
import shutil

import pytest

from support import proc
from support.holdfast import Holdfast, bin_folder

NAME = "nobody"  # every Debian has it, and it owns nothing


class Somebody(Holdfast):
    """An installation of a user without rights, whose home is a folder of the test."""

    def __init__(self, home):
        super().__init__(os.path.join(home, ".local", "share", "holdfast"))
        self.home, self.uid = home, pwd.getpwnam(NAME).pw_uid
        self.program = os.path.join(home, "bin", "holdfast")
        shutil.copytree(bin_folder(), os.path.join(home, "bin"))  # a clone may be root's alone
        self.prefix = ["setpriv", f"--reuid={NAME}", "--regid=nogroup", "--clear-groups",
                       "--inh-caps=-all", "--no-new-privs", "--"]
        self.env = {**{name: value for name, value in self.env.items()
                       if name != "HOLDFAST_DIR" and not name.startswith("XDG_")},
                    "HOME": home, "USER": NAME, "LOGNAME": NAME}

    def up(self, timeout=90):
        self.run("up", timeout=timeout)
        self.note_processes()
        return self


@pytest.fixture(scope="module")
def somebody(programs):
    assert os.geteuid() == 0, "another user's rights can be taken by root only"
    home = proc.new_folder("hf-home-")
    shutil.chown(home, NAME, "nogroup")
    os.chmod(home, 0o700)
    user = Somebody(home)
    try:
        yield user.up()
    finally:
        user.down()
        proc.remove_folder(home)


@pytest.fixture(scope="module")
def orders(somebody, source):
    source.pgbench("-i", "-q", "-s", "1")
    somebody.add_cluster("orders", source)
    source.made = somebody.backup("orders")
    return source


def owners(folder):
    """Users that own something below a folder, and whether anybody else may read a file."""
    states = [os.lstat(os.path.join(parent, name))
              for parent, folders, files in os.walk(folder) for name in [*folders, *files]]
    return {state.st_uid for state in states}


def test_ordinary_user__up_runs_everything_as_that_user(somebody):
    assert set(somebody.pids) >= {"supervisor", "postgres", "redis", "backup"}
    for name, pid in somebody.pids.items():
        assert os.stat(f"/proc/{pid}").st_uid == somebody.uid, name
    assert owners(somebody.folder) == {somebody.uid}


def test_ordinary_user__up_again_leaves_what_runs_alone(somebody):
    before = somebody.note_processes()
    assert somebody.up().note_processes() == before


def test_ordinary_user__up_brings_back_what_was_killed(somebody):
    somebody.kill("backup", "redis")
    somebody.up()
    proc.wait_until(lambda: somebody.run("doctor", check=False).returncode == 0,
                    what="a doctor that is content")


def test_ordinary_user__doctor_finds_everything_well(somebody, orders):
    said = somebody.run("doctor").stdout
    assert somebody.folder in said


def test_ordinary_user__backs_up_and_verifies(somebody, orders):
    assert orders.made["state"] == "SUCCEEDED"
    assert somebody.hf("backup", "verify", orders.made["name"])["verification"] == "VERIFIED"


def test_ordinary_user__restores_and_starts_what_was_printed(somebody, orders):
    orders.psql("create table mark as select 42 as x")
    data = os.path.join(somebody.home, "bob's restored")
    printed = somebody.run("restore", "orders", "--to", data, "--latest").stdout
    assert owners(data) == {somebody.uid}
    command = printed.strip().splitlines()[-1].strip()
    assert "/bin/pg_ctl -D " in command
    port = proc.free_port()
    options = f"-o '-k {somebody.home} -p {port} -c listen_addresses= -c fsync=off'"

    def sh(text):
        return proc.run([*somebody.prefix, "sh", "-c", text], env=somebody.env, cwd="/tmp").stdout

    sh(f"{command} -w -s -l {somebody.home}/server.log {options} >/dev/null 2>&1")
    try:
        proc.wait_until(lambda: sh(f"psql -XAtqc 'select pg_is_in_recovery()' -h {somebody.home} "
                                   f"-p {port} -U postgres postgres").strip() == "f",
                        what="promotion")
        assert sh(f"psql -XAtqc 'select x from mark' -h {somebody.home} -p {port} -U postgres "
                  "postgres").strip() == "42"
    finally:
        sh(f"{command.replace(' start', ' stop')} -s -m immediate")


def test_ordinary_user__down_ends_everything_and_destroys(somebody, orders):
    pids = dict(somebody.note_processes())
    done = somebody.down("--destroy", "--yes")
    assert done.returncode == 0, done.stderr
    name = orders.psql("select slot_name from pg_replication_slots")
    assert f"-p {orders.port} -d postgres -c \"SELECT pg_drop_replication_slot('{name}')\"" in \
        done.stderr
    assert [name for name, pid in pids.items() if proc.is_alive(pid)] == []
    assert not os.path.exists(somebody.folder)
    orders.psql("select pg_drop_replication_slot(slot_name) from pg_replication_slots")
