"""Somebody who can write into the vault's directory and has no key: what he adds is passed over,
what he puts in an object's place is named within seconds, and the service goes on.
"""

import contextlib
import os
import random
import shutil
import socket
import stat
import time

import pytest

import record
from support import proc

SECONDS = 30
EMPTY_SHORT, EMPTY_LONG = 1_500, 30_000 if record.is_sanitized() else 1_000_000
KINDS = ["packs", "maps", "roots", "tables", "wal"]


def make_socket(path):
    """A path that is too long for a socket's address is reached from its folder."""
    before = os.getcwd()
    os.chdir(os.path.dirname(path))
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(os.path.basename(path))
    finally:
        os.chdir(before)


def make_sparse(path):
    with open(path, "wb") as file:
        file.truncate(1 << 40)


def make_file(path, data=b"somebody else's"):
    with open(path, "wb") as file:
        file.write(data)


# What can stand at an object's name and is none, or not this one.
PLACES = {
    "FIFO": os.mkfifo,
    "socket": make_socket,
    "device": lambda path: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5)),
    "directory": os.mkdir,
    "link to /dev/zero": lambda path: os.symlink("/dev/zero", path),
    "link to itself": lambda path: os.symlink(os.path.basename(path), path),
    "link to /etc/passwd": lambda path: os.symlink("/etc/passwd", path),
    "empty": lambda path: make_file(path, b""),
    "zeros": lambda path: make_file(path, b"\0" * 65536),
    "noise": lambda path: make_file(path, random.Random(7).randbytes(300_000)),
    "a sparse terabyte": make_sparse,
}

NO_FILES = {name for name in PLACES if name.startswith(("FIFO", "socket", "device", "dir", "link"))}
CHANGES = {
    "cut in the middle": lambda whole: whole[:len(whole) // 2],
    "without its last byte": lambda whole: whole[:-1],
    "twice": lambda whole: whole + whole,
    "zeroed from the middle": lambda whole: whole[:len(whole) // 2] + bytes(len(whole) // 2),
}


@pytest.fixture(scope="module")
def house(attacked):
    return attacked.house


@pytest.fixture(scope="module")
def orders(attacked):
    return attacked.source


def place(house):
    sources = house.path("vault", "tenants", "default", "sources")
    return next(os.path.join(sources, name) for name in os.listdir(sources) if len(name) == 36)


def files(folder):
    return sorted(os.path.join(parent, name) for parent, _, names in os.walk(folder)
                  for name in names)


def offline(house, *words):
    return ["--vault", house.path("vault"), "--key-file", house.path("keys", "vault.key"), *words]


@contextlib.contextmanager
def replaced(path, aside, make):
    """Something else stands at an object's name for a while. make(path)."""
    kept = os.path.join(aside, "kept")
    os.rename(path, kept)
    try:
        make(path)
        yield
    finally:
        if os.path.isdir(path) and not os.path.islink(path):
            os.rmdir(path)
        elif os.path.lexists(path):
            os.unlink(path)
        os.rename(kept, path)


@contextlib.contextmanager
def within(seconds, what):
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds, f"{what}: {time.monotonic() - began:.0f} s"


def said_by(house, *words):
    """Exit code and text of a command that may fail, but not hang or crash."""
    done = house.run(*words, check=False, timeout=SECONDS)
    assert done.returncode in (0, 1, 3, 4, 5), f"{words}: {done.returncode}\n{done.stderr}"
    return done.returncode, done.stdout + done.stderr


def victim(house, orders, kind):
    found = files(os.path.join(place(house), kind))
    if kind == "wal":  # of the segment that the backup needs
        low = house.hf("backup", "describe", orders.backup)["startLsn"].split("/")[1]
        segment = f"/{int(low, 16) >> 24:016x}/"
        found = [path for path in found if segment in path and "-open-" not in path]
    return max(found, key=os.path.getsize)


@pytest.mark.parametrize("kind", KINDS)
def test_store__what_stands_in_an_objects_place_is_found(house, orders, folder, kind, is_long,
                                                         seed, attempts):
    pids = house.note_processes()
    path = victim(house, orders, kind)
    with open(path, "rb") as file:
        whole = file.read()
    makes = {**PLACES, **{name: lambda at, change=change: make_file(at, change(whole))
                          for name, change in CHANGES.items()}}
    names = sorted(makes) if is_long else random.Random(f"{seed}{kind}").sample(sorted(makes), 2)
    aside = house.path("vault", ".tmp")  # of the same file system, and never listed
    for name in names:
        with replaced(path, aside, makes[name]), within(SECONDS, f"{kind}: {name}"):
            code, said = said_by(house, "backup", "verify", orders.backup)
        if kind == "wal" and code == 0:  # not yet compacted: a slice has the same bytes
            assert len(os.listdir(os.path.dirname(path))) > 1, f"{kind}: {name}\n{said}"
        else:
            named = os.path.basename(os.path.dirname(path) if kind == "wal" else path)
            assert code == 1 and named in said, f"{kind}: {name}\n{said}"
        assert house.note_processes() == pids, f"{kind}: {name}"
        attempts.add("store", kind, name, "verify names the object", True)
    assert house.hf("backup", "verify", orders.backup)["verification"] == "VERIFIED"


@pytest.mark.parametrize("which", ["key slot", "marker", "last entry", "first entry"])
def test_store__what_opens_the_vault_is_replaced(house, orders, which, is_long, seed, attempts):
    entries = files(os.path.join(place(house), "journal"))
    path = {"key slot": house.path("vault", "tenants", "default", "keys", "000001"),
            "marker": house.path("vault", "holdfast-vault"),
            "last entry": entries[-1], "first entry": entries[0]}[which]
    pids = house.note_processes()
    names = sorted(PLACES) if is_long else random.Random(f"{seed}{which}").sample(
        sorted(PLACES), 2)
    for name in names:
        with replaced(path, house.path("vault", ".tmp"), PLACES[name]):
            with within(SECONDS, f"{which}: {name}"):
                code, said = said_by(house, "backup", "list", *offline(house))
                said_by(house, "doctor")
                said_by(house, "wal", "status", "orders")
            # Whoever takes the last entry away shows an older vault; only a pin tells.
            is_gone = which == "last entry" and name in NO_FILES
            assert (code == 0) == is_gone and said.strip(), f"{which}: {name}\n{said}"
        assert house.note_processes() == pids, f"{which}: {name}"
        attempts.add("store", which, name, "refused with the object's name, at once", True)
    assert house.run("backup", "list", *offline(house)).returncode == 0
    house.run("catalog", "rebuild")


def plant_everywhere(house, made):
    """Foreign things of every kind in every directory of the vault."""
    for parent, _, _ in list(os.walk(house.path("vault"))):
        for name, make in PLACES.items():
            made.append(os.path.join(parent, "foreign-" + name.replace(" ", "-").replace("/", "")))
            make(made[-1])
        for name in (b"README", b"new\nline", b"\xff\xfe", b"\x1b[31m", b"n" * 255, b"a b",
                     b"000001.bak", b"000000000001~", b"-", b"zzz"):
            made.append(os.path.join(os.fsencode(parent), name))
            make_file(made[-1])
        for name in (b"lost+found", b"empty", b"@eaDir"):
            made.append(os.path.join(os.fsencode(parent), name))
            os.mkdir(made[-1])


def take_away(made):
    for path in made:
        if os.path.isdir(path) and not os.path.islink(path):
            os.rmdir(path)
        elif os.path.lexists(path):
            os.unlink(path)


def whole_round(house, orders, folder, name):
    """All that a vault is for."""
    house.backup("orders")
    assert house.hf("backup", "verify", orders.backup)["verification"] == "VERIFIED"
    house.run("catalog", "rebuild")
    house.run("backup", "list", *offline(house))
    house.run("restore", "orders", "--to", f"{folder}/{name}", "--latest")
    code, said = said_by(house, "wal", "fetch", "--cluster", "orders", orders.segment,
                         f"{folder}/{name}-wal")
    assert code in (0, 3), said


def test_store__foreign_things_everywhere_change_nothing(house, orders, folder, is_long,
                                                         attempts):
    proc.give_to_server_user(folder)
    made = []
    plant_everywhere(house, made)
    try:
        whole_round(house, orders, folder, "r")
        house.kill("backup")
        house.up()
        if is_long:
            whole_round(house, orders, folder, "again")
        house.backup("orders")
    finally:
        take_away(made)
    attempts.add("store", "every directory", "files, FIFOs, sockets, devices, links, odd names",
                 "nothing changes, also not at start", True)


def test_store__a_source_that_cannot_be_read_hides_no_other(house, orders, folder, attempts):
    proc.give_to_server_user(folder)
    sources = os.path.dirname(place(house))
    own = os.path.basename(place(house))
    beside = os.path.join(sources, "copy-of-orders")
    broken = os.path.join(sources, "00000000-0000-7000-8000-00000000dead", "journal")
    try:
        os.mkdir(beside)
        make_file(os.path.join(beside, "a-file"))
        assert house.run("backup", "list", *offline(house)).returncode == 0
        os.makedirs(broken)
        make_file(os.path.join(broken, "000000000001"))
        done = house.run("backup", "list", *offline(house), check=False)
        assert done.returncode == 1 and orders.backup.split("/")[-1] in done.stdout
        assert "00000000dead" in done.stderr
        done = house.run("backup", "list", "orders", *offline(house), check=False)
        assert done.returncode == 1 and orders.backup.split("/")[-1] in done.stdout
        wanted = ["restore", *offline(house), "--to", f"{folder}/r", "--latest", "--cluster"]
        done = house.run(*wanted, "orders", check=False)  # it might be the newer of that name
        assert done.returncode != 0 and "00000000dead" in done.stderr and own in done.stderr
        house.run(*wanted, own)
        rebuilt = house.run("catalog", "rebuild", check=False)
        assert rebuilt.returncode == 1 and "00000000dead" in rebuilt.stderr
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(os.path.dirname(broken), ignore_errors=True)
    house.run("catalog", "rebuild")
    attempts.add("store", "sources", "a directory beside them, a broken journal among them",
                 "the others are listed, and restored by their ids; the broken one is named", True)


def test_store__empty_directories_without_number(house, orders, folder, is_long, attempts):
    """In the folder of the packs, of the journal and of the keys: each is listed for a backup."""
    proc.give_to_server_user(folder)
    count = EMPTY_LONG if is_long else EMPTY_SHORT
    parents = [os.path.join(place(house), "packs"), os.path.join(place(house), "journal"),
               house.path("vault", "tenants", "default", "keys")]
    pids = house.note_processes()
    for parent in parents:
        for i in range(count // len(parents)):
            os.mkdir(os.path.join(parent, f"e{i:07d}"))
    try:
        house.hf("backup", "create", "orders", "--wait", timeout=600)
        house.run("backup", "list", *offline(house), timeout=300)
    finally:
        for parent in parents:
            for i in range(count // len(parents)):
                with contextlib.suppress(FileNotFoundError):
                    os.rmdir(os.path.join(parent, f"e{i:07d}"))
    assert house.note_processes() == pids
    attempts.add("store", "packs, journal and keys", "a million empty directories",
                 "a backup succeeds", True)


def test_store__links_for_directories_are_not_followed(house, orders, folder, attempts):
    """The folder of temporary files leads to another one: nothing is swept or written there."""
    outside = os.path.join(folder, "outside")
    os.mkdir(outside, 0o777)
    os.chmod(outside, 0o777)
    old = os.path.join(outside, "old")
    make_file(old)
    os.utime(old, (1, 1))
    temp = house.path("vault", ".tmp")
    os.rename(temp, os.path.join(house.path("vault"), "aside"))
    os.symlink(outside, temp)
    try:
        house.kill("backup")
        house.up()
        job = house.hf("backup", "create", "orders")["name"]
        error = proc.wait_until(lambda: house.hf("job", "describe", job).get("error"),
                                timeout=120, what="the error of a write through a link")
        assert error["message"] and os.listdir(outside) == ["old"]
    finally:
        os.unlink(temp)
        os.rename(os.path.join(house.path("vault"), "aside"), temp)
    assert (error["code"] == "FAILED_PRECONDITION" or  # or the WAL stream was there before
            "symbolic links" in error["message"]), error
    house.backup("orders")
    attempts.add("store", ".tmp", "a link to another directory of the service",
                 "nothing is written, swept or removed there", True)
