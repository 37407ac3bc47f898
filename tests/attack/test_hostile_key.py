"""Somebody who holds the vault's key and lies in it, against the programs: what he sealed is authentic,
and its sizes, counts, tables and frames are not true. Lists, verification, rebuild, restores and the
next backup end in time, within their memory, with a text that names the object.
"""

import os
import shutil
import subprocess

import pytest

import record
from support import proc
from support.grpc import Grpcurl
from support.holdfast import bin_folder
from watch import unclean

SHORT, LONG = 4, 40
SECONDS = 60
MIB = 1 << 20
MEMORY = 1024 * MIB


def prefix_of(vault):
    sources = os.path.join(vault, "tenants", "default", "sources")
    return "tenants/default/sources/" + next(name for name in os.listdir(sources) if len(name) == 36)


def lie(house, vault, seed, count):
    """Ids of the lying backups that were put into the journal."""
    program = os.path.join(os.path.dirname(bin_folder()), "tests", "attack_liar")
    done = proc.run([program, vault, house.path("keys", "vault.key"),
                     house.path("keys", "signing.key"), prefix_of(vault), str(seed), str(count)])
    for parent, folders, files in os.walk(vault):  # by root: the server's user reads them
        for name in (*folders, *files):
            shutil.chown(os.path.join(parent, name), *owner_of(vault))
    return done.stdout.split()


def owner_of(path):
    found = os.stat(path)
    return found.st_uid, found.st_gid


@pytest.fixture(scope="module")
def count(is_long):
    return LONG if is_long else SHORT


def run(house, *words):
    """A command on the lying vault: (exit code, text); it ends in time and within its memory."""
    process = subprocess.Popen([house.program, *words], env=house.env, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out, _ = process.communicate(timeout=SECONDS)
    text = out.decode()
    assert process.returncode in (0, 1, 3, 4, 5), f"{words}: {process.returncode}\n{text}"
    for line in text.splitlines():
        assert not unclean(line.replace("\t", " ")), f"{words}: {unclean(line)}"
    return process.returncode, text


def test_key__a_lying_vault_is_listed_and_restored_or_refused(attacked, folder, seed, count,
                                                              attempts):
    house, source = attacked.house, attacked.source
    vault = os.path.join(folder, "vault")
    shutil.copytree(house.path("vault"), vault)
    offline = ["--vault", vault, "--key-file", house.path("keys", "vault.key")]
    made = lie(house, vault, seed, count)
    code, text = run(house, "backup", "list", *offline)
    assert code == 0 and all(name in text for name in made), text
    refused = 0
    for name in made:
        target = os.path.join(folder, name)
        code, text = run(house, "restore", *offline, "--cluster", "orders", "--backup", name, "--immediate",
                         "--to", target)
        refused += code != 0
        assert code == 0 or "tenants/default/" in text or name in text, text
        shutil.rmtree(target, ignore_errors=True)
    code, text = run(house, "wal", "fetch", *offline, "--cluster", "orders", source.segment,
                     os.path.join(folder, "segment"))
    assert code in (0, 1), text
    assert refused > 0
    attempts.add("key holder", "offline reader", "lying backups listed, restored, WAL fetched",
                 "a refusal that names the object, in time", True)


def test_key__the_service_outlives_a_lying_vault(house, start_server, seed, count, attempts):
    """In an installation of its own, as the journal keeps what was written."""
    house.add_cluster("orders", start_server())
    backup = house.backup("orders")["name"]
    pids = house.note_processes()
    made = lie(house, house.path("vault"), seed + 1, count)
    house.run("catalog", "rebuild", check=False)
    names = [item["name"] for item in house.hf("backup", "list", "orders")["backups"]]
    found = [name for name in names if name.rsplit("/", 1)[-1] in made]
    assert len(found) == count, names
    for name in found:
        code, text = run(house, "backup", "verify", name)
        assert code in (0, 1) and text.strip(), text
    assert house.hf("backup", "verify", backup)["verification"] == "VERIFIED"
    house.backup("orders")  # whatever the newest one says
    call = Grpcurl(house.endpoint(), house.certs())
    for name in found:
        call("holdfast.backup.v1.BackupService/DeleteBackup", {"name": name})
    house.backup("orders")
    assert house.note_processes() == pids
    with open(f"/proc/{pids['backup']}/status", encoding="ascii") as file:
        high = next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024
    assert record.is_sanitized() or high < MEMORY, f"{high // MIB} MiB"
    attempts.add("key holder", "service", "lying backups rebuilt, verified, built upon, deleted",
                 "the same process, within 1 GiB; the next backup succeeds", True)
