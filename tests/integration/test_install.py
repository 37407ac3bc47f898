"""`make install`: what lands below DESTDIR/PREFIX runs from there."""

import json
import os
import re
import shlex

import pytest

from support import proc
from support.holdfast import Holdfast

pytestmark = pytest.mark.no_asan  # make install is about the release programs


@pytest.fixture(scope="module")
def installed():
    """Folder of the programs after `make install` into a folder with a space in its name."""
    folder = proc.new_folder()
    proc.run(["make", "-C", proc.ROOT, "install", "PREFIX=/opt/hold fast",
              f"DESTDIR={folder}/the root"], timeout=900)
    yield f"{folder}/the root/opt/hold fast"
    proc.remove_folder(folder)


def test_install__puts_the_programs_below_destdir_and_prefix(installed):
    assert sorted(os.listdir(f"{installed}/bin")) == sorted(
        os.listdir(os.path.join(proc.ROOT, "build", "bin")))
    for name in os.listdir(f"{installed}/bin"):
        assert os.stat(f"{installed}/bin/{name}").st_mode & 0o777 == 0o755


def test_install__brings_a_unit_that_starts_the_program_there(installed):
    """Read by systemd's rules: assignments, and a command line of quoted words."""
    with open(f"{installed}/lib/systemd/system/holdfast.service", encoding="utf-8") as file:
        lines = [line.strip() for line in file if "=" in line and not line.startswith("#")]
    words = shlex.split(dict(line.split("=", 1) for line in lines)["ExecStart"])
    assert words == ["/opt/hold fast/bin/holdfast", "up", "--foreground",
                     "--dir", "/var/lib/holdfast"]
    shown = proc.run([f"{installed}/bin/holdfast", "up", "--help"]).stdout
    assert "--foreground" in shown


def test_install__the_unit_gives_up_what_it_can(installed, folder):
    """systemd's own judgement of what is left: 0 is a sealed box, 10 is root."""
    unit = os.path.join(folder, "holdfast.service")
    with open(f"{installed}/lib/systemd/system/holdfast.service", encoding="utf-8") as file:
        text = file.read()
    with open(unit, "w", encoding="utf-8") as file:
        file.write(text.replace("/opt/hold fast/bin/holdfast", "/bin/true"))
    judged = proc.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--json=short", unit])
    assert [item for item in json.loads(judged.stdout) if item["name"] == "User=/DynamicUser="][0]["exposure"] is None
    shown = proc.run(["systemd-analyze", "security", "--offline=true", "--no-pager", unit]).stdout
    assert float(re.search(r"exposure level for holdfast.service: ([0-9.]+)", shown)[1]) <= 2.5, shown
    verified = proc.run(["systemd-analyze", "verify", unit])
    assert verified.stdout + verified.stderr == "", "no option or call that systemd does not know"


def test_install__the_unit_runs_as_a_user_that_is_made(installed):
    with open(f"{installed}/lib/sysusers.d/holdfast.conf", encoding="utf-8") as file:
        assert "\nu holdfast - " in file.read()


@pytest.mark.parametrize("option, wanted", [("--version", "holdfast"), ("--help", "sage: holdfast")])
def test_install__programs_say_what_they_are(installed, option, wanted):
    for name in os.listdir(f"{installed}/bin"):
        assert wanted in proc.run([f"{installed}/bin/{name}", option]).stdout


def test_install__up_finds_the_service_beside_it(installed, folder):
    holdfast = Holdfast(os.path.join(folder, "dir"))
    holdfast.program = f"{installed}/bin/holdfast"
    try:
        holdfast.up()
        for name, program in (("supervisor", "holdfast"), ("backup", "holdfast-backup")):
            path = os.readlink(f"/proc/{holdfast.pids[name]}/exe")
            assert path == f"{installed}/bin/{program}"
        assert holdfast.run("doctor", check=False).returncode == 0
    finally:
        holdfast.down()
