"""The life of an installation: odd directories, odd environments, two of everything, reboots, doctor.

The installation of this file has a space in its path and is always called from a shell whose libpq
variables speak of somebody else's server.
"""

import fcntl
import glob
import hashlib
import json
import os
import pty
import shutil
import signal
import socket
import struct
import subprocess
import uuid

import pytest

from support import proc
from support.expired import dated_copy
from support.holdfast import Holdfast, installation
from support.state import as_owner

SECRET = "the-password-of-a-shell"
SHELL = {"PGPORT": "1", "PGHOST": "/nowhere", "PGSERVICE": "none", "PGOPTIONS": "-c nonsense=1",
         "PGPASSWORD": SECRET}
KEYS = ["vault.key", "signing.key", "secrets.key", "escrow.pub"]


@pytest.fixture(scope="module")
def house(programs):
    home = proc.new_folder("hf-up-")
    holdfast = Holdfast(os.path.join(home, "with a space"))
    holdfast.env.update(SHELL)
    try:
        yield holdfast.up()
    finally:
        holdfast.down()
        proc.remove_folder(home)


@pytest.fixture
def ended():
    """ended(holdfast) → the same, taken down after the test."""
    made = []

    def note(holdfast):
        made.append(holdfast)
        return holdfast

    yield note
    for holdfast in made:
        holdfast.down()


def start_up(holdfast, *words):
    return subprocess.Popen([holdfast.program, "up", "--dir", holdfast.folder, *words],
                            env=holdfast.env, text=True, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def check_of(house, name):
    checks = json.loads(house.run("doctor", "-o", "json", check=False).stdout)["checks"]
    return [check for check in checks if check["name"] == name][0]


def mend(house, name):
    """Runs the command that doctor names for a check that is not well, as a person would."""
    found = check_of(house, name)
    assert found["verdict"] != "ok", found
    path = os.path.dirname(house.program) + os.pathsep + os.environ["PATH"]
    proc.run(["sh", "-c", found["fix"]], env={**house.env, "PATH": path})
    assert check_of(house, name)["verdict"] == "ok"
    return found


# Where it lives and who calls it.
def test_up__is_not_misled_by_variables_of_libpq(house):
    assert house.run("doctor").returncode == 0
    house.certs("somebody")


def test_up__keeps_no_password_of_the_shell(house):
    for name, pid in house.note_processes().items():
        with open(f"/proc/{pid}/environ", "rb") as file:
            assert SECRET.encode() not in file.read(), name


def test_up__does_not_keep_the_callers_directory_busy(house):
    assert os.readlink(f"/proc/{house.note_processes()['supervisor']}/cwd") == "/"


def test_up__knows_its_processes_by_any_name_of_the_directory(house, folder):
    before = house.note_processes()
    os.symlink(house.folder, f"{folder}/link")
    proc.send(before["supervisor"], signal.SIGKILL)
    proc.wait_until(lambda: not proc.is_alive(before["supervisor"]))
    proc.run([house.program, "up", "--dir", ".//link/"], env=house.env, cwd=folder)
    after = house.note_processes()
    assert {name for name in before if before[name] != after[name]} == {"supervisor"}


@pytest.mark.parametrize("name", ["x" * 90, "a,b", "a'b", 'a"b', "a\\b", "a\nb"])
def test_up__refuses_a_path_that_sockets_cannot_have(house, folder, name):
    said = house.fails(2, "up", "--dir", f"{folder}/{name}")
    assert "DIRECTORY_NAME" in said and os.listdir(folder) == []


def test_up__refuses_an_empty_directory_name(house):
    assert "--dir" in house.fails(2, "down", "--destroy", "--dir", "")


def test_up__refuses_a_port_that_is_taken(house, folder):
    with socket.socket() as other:
        other.bind(("127.0.0.1", proc.free_port()))
        other.listen()
        port = str(other.getsockname()[1])
        assert "PORT_TAKEN" in house.fails(4, "up", "--dir", f"{folder}/d", "--port", port)


def test_up__says_that_port_and_user_stay(house):
    own = house.endpoint().split(":")[1]
    house.run("up", "--port", own)
    assert "FIRST_UP_ONLY" in house.fails(4, "up", "--port", str(int(own) ^ 1))
    assert "FIRST_UP_ONLY" in house.fails(4, "up", "--user", "nobody")


def test_up__twice_at_once_below_parents_that_are_missing(programs, folder, ended):
    holdfast = ended(Holdfast(f"{folder}/not/there/dir"))
    both = [start_up(holdfast), start_up(holdfast)]
    said = [command.communicate(timeout=120)[0] for command in both]
    assert [command.returncode for command in both] == [0, 0], said
    assert len([text for text in said if "recovery kit" in text]) == 1
    assert all(f"pid {pid}" in text for text in said for pid in holdfast.note_processes().values())
    assert holdfast.run("doctor").returncode == 0


def test_up__that_was_killed_leaves_nobody_behind_and_is_finished_by_the_next(programs, folder,
                                                                             ended):
    holdfast = ended(Holdfast(f"{folder}/dir"))
    command = start_up(holdfast)
    proc.wait_until(lambda: proc.mentioning(f"{folder}/dir/pg.new"), what="initdb")
    proc.send(command.pid, signal.SIGKILL)
    command.communicate(timeout=20)
    proc.wait_until(lambda: not proc.mentioning(f"{folder}/dir"), timeout=5, what="their end")
    assert holdfast.up().run("doctor").returncode == 0


def test_up__leaves_a_users_own_installation_his_when_root_calls(programs, folder, ended):
    shutil.chown(folder, "nobody", "nogroup")
    holdfast = ended(Holdfast(f"{folder}/own"))
    proc.run([*as_owner(folder), holdfast.program, "up"], env=holdfast.env)
    holdfast.kill()
    holdfast.up()
    assert holdfast.run("doctor").returncode == 0
    owners = {os.lstat(os.path.join(at, name)).st_uid for at, folders, files
              in os.walk(holdfast.path("pki")) for name in folders + files}
    assert owners == {os.stat(folder).st_uid}
    proc.run([*as_owner(folder), holdfast.program, "info"], env=holdfast.env)


def test_down__destroy_asks_and_an_interrupt_is_no_answer(house):
    ours, theirs = pty.openpty()
    command = subprocess.Popen([house.program, "down", "--destroy"], env=house.env, stdin=theirs,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    os.close(theirs)
    assert b"Type the directory" in os.read(command.stderr.fileno(), 4096)
    command.send_signal(signal.SIGINT)
    assert command.wait(10) == 130
    command.stderr.close()
    os.close(ours)
    assert house.run("doctor").returncode == 0


def test_down__destroy_removes_nothing_when_nobody_can_be_asked(house):
    assert "NOT_CONFIRMED" in house.fails(4, "down", "--destroy")
    assert "exit code 4" in house.run("down", "--help").stdout
    assert house.run("doctor").returncode == 0


@pytest.fixture
def husk(programs, folder):
    """What `down` takes for an installation: nothing runs of it."""
    holdfast = Holdfast(f"{folder}/d")
    for name in ("keys", "pg", "run", "vault", "zz"):
        os.makedirs(holdfast.path(name))
    for name, text in (("holdfast.yaml", 'install_id: "i"\nendpoint: "127.0.0.1:1"\n'),
                       ("keys/vault.key", "k"), ("vault/1", "v"), ("zz/1", "z"),
                       ("run/supervisor.lock", ""), ("run/setup.lock", "")):
        with open(holdfast.path(name), "w", encoding="utf-8") as file:
            file.write(text)
    for at, folders, files in os.walk(holdfast.folder):
        for name in (at, *(os.path.join(at, one) for one in folders + files)):
            shutil.chown(name, "nobody", "nogroup")
            os.chmod(name, 0o700)
    return holdfast


def names_in(folder):
    return sorted(os.path.relpath(os.path.join(at, name), folder)
                  for at, folders, files in os.walk(folder) for name in folders + files)


def of_a_file(fd):
    """A lock of nobody: the kernel says of its process that it is -1."""
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))


def of_a_process(fd):
    fcntl.lockf(fd, fcntl.LOCK_EX)


@pytest.mark.parametrize("take, prefix", [
    (of_a_process, ["unshare", "--pid", "--fork", "--mount-proc"]), (of_a_file, [])],
    ids=["another-container", "an-open-file"])
def test_down__stops_and_destroys_nothing_of_who_cannot_be_seen(husk, take, prefix):
    before = names_in(husk.folder)
    bystander = subprocess.Popen([*as_owner(husk.folder), "sleep", "60"])
    try:
        with open(husk.path("run", "supervisor.lock"), "r+b") as file:
            take(file.fileno())
            found = proc.run([*prefix, husk.program, "down", "--destroy", "--yes", "--dir",
                              husk.folder], env=husk.env, check=False)
        assert found.returncode == 4 and "STILL_RUNS" in found.stderr, found
        assert "cannot be seen from here" in found.stderr and "kill" not in found.stderr
        assert names_in(husk.folder) == before and bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_down__destroys_all_it_can_and_says_what_stays(husk):
    os.makedirs(husk.path("pg", "roots"), mode=0o700)
    with open(husk.path("pg", "roots", "file"), "w", encoding="utf-8"):
        pass
    said = husk.fails(4, "down", "--destroy", "--yes")
    assert "NOT_DESTROYED" in said and "roots" in said and "destroyed /" not in said
    kept = [name for name in names_in(husk.folder) if not name.startswith("run")]
    assert kept == ["holdfast.yaml", "pg", "pg/roots", "pg/roots/file"]
    shutil.rmtree(husk.path("pg"))
    husk.run("down", "--destroy", "--yes")
    assert not os.path.exists(husk.folder)


# What was there before.
@pytest.mark.parametrize("name", KEYS)
def test_up__never_makes_a_lost_key_anew(house, name):
    key = house.path("keys", name)
    os.rename(key, f"{key}.away")
    try:
        said = house.fails(4, "up")
        assert "KEY_MISSING" in said and key in said
        assert check_of(house, f"keys/{name}")["verdict"] == "fail"
        assert not os.path.exists(key)
    finally:
        os.rename(f"{key}.away", key)
    house.up()


def test_up__begins_no_new_vault_where_a_disk_is_not_mounted(house):
    house.down()
    vault = house.path("vault")
    os.rename(vault, f"{vault}.away")
    try:
        said = house.fails(5, "up")  # not 4, with which the unit would stay down
        assert "VAULT_MISSING" in said and vault in said
        assert not os.path.exists(vault)
        assert check_of(house, "vault/holdfast-vault")["verdict"] == "fail"
    finally:
        os.rename(f"{vault}.away", vault)
    house.up()


def backup_says(house):
    return read(house.path("log", "backup.log"))


def answers(house):
    return house.run("cluster", "list", check=False).returncode == 0


def restarted_over(house, vault):
    """What the service says that its supervisor has started over this directory."""
    shutil.copytree(vault, house.path("vault.new"))
    for path in (house.path("vault.new"), *glob.glob(house.path("vault.new", "*"))):
        shutil.chown(path, os.stat(house.path("vault")).st_uid)
    before = len(backup_says(house))
    os.rename(house.path("vault"), house.path("vault.away"))
    os.rename(house.path("vault.new"), house.path("vault"))
    try:
        proc.wait_until(lambda: "VAULT_" in backup_says(house)[before:], what="a refusal")
        assert not answers(house)
        assert {*os.listdir(house.path("vault"))} - {".tmp"} == {*os.listdir(vault)}
        return backup_says(house)[before:]
    finally:
        shutil.rmtree(house.path("vault"))
        os.rename(house.path("vault.away"), house.path("vault"))
        proc.wait_until(lambda: answers(house), what="the service", timeout=60)


def test_restart__begins_no_new_vault_where_a_disk_is_not_mounted(house, folder):
    said = restarted_over(house, folder)
    assert "VAULT_MISSING" in said and house.path("vault") in said and "mount" in said


def test_restart__takes_no_other_vault_for_its_own(house, folder):
    lines = read(house.path("vault", "holdfast-vault")).splitlines()[:-1]
    other = "".join(f"{line}\n" if not line.startswith("vault ") else f"vault {uuid.uuid4()}\n"
                    for line in lines)
    digest = hashlib.sha256(other.encode()).hexdigest()
    with open(f"{folder}/holdfast-vault", "w", encoding="ascii") as file:
        file.write(f"{other}sha256 {digest}\n")
    said = restarted_over(house, folder)
    assert "VAULT_CHANGED" in said and "catalog rebuild" in said


def test_up__wants_the_postgresql_that_made_the_database(house):
    path = house.path("pg", "PG_VERSION")
    own = read(path)
    with open(path, "w", encoding="ascii") as file:
        file.write("12\n")
    try:
        assert "apt-get install postgresql-12" in house.fails(4, "up")
        assert "postgresql-12" in check_of(house, "postgresql")["what"]
    finally:
        with open(path, "w", encoding="ascii") as file:
            file.write(own)


def test_up__after_a_reboot_trusts_no_pid(house):
    house.kill()
    path = house.path("run", "processes.json")
    saved = json.loads(read(path))
    for item in saved["processes"]:
        item["pid"] = os.getpid()  # meanwhile somebody else's
    with open(path, "w", encoding="utf-8") as file:
        json.dump(saved, file)
    assert not any(item["running"] for item in json.loads(
        house.run("info", "-o", "json", check=False).stdout)["processes"])
    house.up()
    assert os.getpid() not in house.pids.values()
    assert house.run("doctor").returncode == 0


def test_up__waits_for_a_supervisor_that_stops(house):
    before = house.note_processes()
    proc.send(before["supervisor"], signal.SIGTERM)
    proc.wait_until(lambda: not proc.is_alive(before["backup"]), what="the first that it stops")
    house.up()
    assert house.pids["supervisor"] != before["supervisor"]
    assert house.run("doctor").returncode == 0


def test_down__and_up_at_the_same_moment_leave_one_or_the_other(house):
    down = subprocess.Popen([house.program, "down"], env=house.env, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    start_up(house).communicate(timeout=120)
    assert down.wait(60) == 0
    house.up()
    assert house.run("doctor").returncode == 0


# Certificates.
@pytest.mark.parametrize("start, end", [("20200101", "20200201"), ("20900101", "20910101")])
def test_certificates__that_do_not_hold_are_renewed_by_themselves(house, folder, start, end):
    wrong = {}
    for name in ("backup", "cli"):
        dated_copy(house.path("pki", name), house.path("pki", "ca"), f"{folder}/{name}", start, end)
        wrong[name] = read(f"{folder}/{name}/tls.crt")
    for name, text in wrong.items():
        with open(house.path("pki", name, "tls.crt"), "w", encoding="ascii") as file:
            file.write(text)
    proc.wait_until(lambda: all(read(house.path("pki", name, "tls.crt")) != text
                                for name, text in wrong.items()), what="new certificates")
    house.run("cluster", "list")


def test_doctor__finds_a_service_that_hangs(house):
    pid = house.note_processes()["backup"]
    proc.send(pid, signal.SIGSTOP)
    try:
        found = check_of(house, "backup service")
        assert found["verdict"] == "fail" and found["fix"].startswith("holdfast down")
        proc.run(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", house.path("vault")])
        try:
            found = check_of(house, "vault of the service")
        finally:
            proc.run(["umount", "-l", house.path("vault")])
        assert found["verdict"] == "fail" and "old one is back" in found["fix"]
    finally:
        proc.send(pid, signal.SIGCONT)
    proc.wait_until(lambda: house.run("cluster", "list", check=False).returncode == 0)


# doctor: what it finds goes away with the command it names.
def test_doctor__finds_open_keys(house):
    os.chmod(house.path("keys", "vault.key"), 0o644)
    assert "chmod" in mend(house, "keys/vault.key")["fix"]


@pytest.mark.skipif(os.geteuid() != 0, reason="what root is told to paste")
@pytest.mark.parametrize("name", ["keys/vault.key", "run"])
def test_doctor__names_for_root_nothing_that_follows_a_link_of_the_servers_user(house, folder, name):
    victim = os.path.join(folder, "victim")
    with open(victim, "w", encoding="ascii") as file:
        file.write("root's\n")
    os.chmod(victim, 0o644)
    path = house.path(name)
    os.rename(path, f"{path}.away")
    try:
        os.symlink(victim, path)
        found = check_of(house, name)
        proc.run(["sh", "-c", found["fix"]], check=False)
        assert not os.path.lexists(path), found
    finally:
        if os.path.lexists(path):
            os.remove(path)
        os.rename(f"{path}.away", path)
    state = os.stat(victim)
    assert (state.st_uid, state.st_mode & 0o777) == (0, 0o644)
    assert check_of(house, name)["verdict"] == "ok"


def test_doctor__takes_a_vault_that_is_elsewhere_by_the_operators_link(house):
    vault = house.path("vault")
    house.down()
    os.rename(vault, f"{house.folder}.elsewhere")
    os.symlink(f"{house.folder}.elsewhere", vault)
    try:
        house.up()
        assert check_of(house, "vault")["verdict"] == "ok"
        assert house.run("doctor").returncode == 0
        if os.geteuid() == 0:  # of the servers' user: whoever took that over could have made it
            owner = os.stat(house.folder)
            os.lchown(vault, owner.st_uid, owner.st_gid)
            assert "is a link" in check_of(house, "vault")["what"]
    finally:
        house.down()
        os.remove(vault)
        os.rename(f"{house.folder}.elsewhere", vault)
        house.up()


def test_doctor__names_a_certificate_that_is_not_its_keys(house):
    house.down()
    key, other = house.path("pki", "cli", "tls.key"), house.path("pki", "backup", "tls.key")
    kept = read(key)
    with open(key, "w", encoding="ascii") as file:
        file.write(read(other))
    try:
        found = check_of(house, "certificate cli")
        assert found["verdict"] == "fail" and "is not the key of" in found["what"]
    finally:
        with open(key, "w", encoding="ascii") as file:
            file.write(kept)
        house.up()


def test_supervisor__bounds_a_log_that_was_renamed(house):
    """As logrotate does it, of a server that this supervisor started and of one that it adopted."""
    for number, name in enumerate(["redis", "backup"]):
        if number == 0:
            before = house.note_processes()["redis"]
            house.kill("redis")
            proc.wait_until(lambda: house.note_processes().get("redis", before) != before,
                            what="another Redis")
        log = house.path("log", f"{name}.log")
        os.rename(log, f"{log}-20260101")
        os.truncate(f"{log}-20260101", 17 << 20)
        proc.wait_until(lambda: os.stat(f"{log}-20260101").st_size < 1 << 20, what="the next look")
        os.rename(f"{log}-20260101", log)


def another_supervisor(house):
    before = house.note_processes()["supervisor"]
    os.kill(before, signal.SIGKILL)  # and none of its servers
    house.run("up")
    proc.wait_until(lambda: house.note_processes()["supervisor"] != before, what="another supervisor")


def test_supervisor__bounds_a_log_that_was_renamed_before_it_began(house):
    """The service hides its descriptors: only the supervisor before this one knew which file it is."""
    log, before = house.path("log", "backup.log"), house.note_processes()["backup"]
    os.rename(log, f"{log}-20260101")
    another_supervisor(house)
    assert check_of(house, "process backup")["verdict"] == "ok"
    os.truncate(f"{log}-20260101", 17 << 20)
    proc.wait_until(lambda: os.stat(f"{log}-20260101").st_size < 1 << 20, what="the next look")
    assert house.note_processes()["backup"] == before
    os.remove(f"{log}-20260101")  # as logrotate does it when it has compressed it
    another_supervisor(house)
    proc.wait_until(lambda: house.note_processes().get("backup", before) != before and os.path.exists(log),
                    what="a service that writes where it is found")
    house.up()


@pytest.fixture
def overrides(house):
    """overrides(text) writes the operator's file, which is gone after the test."""
    path = house.path("overrides.yaml")

    def write(text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o644)

    yield write
    os.remove(path)
    house.down()
    house.up()


@pytest.mark.parametrize("text, said", [
    ("threads: 1\nsources_denyed: 10.0.0.0/8\n", "overrides.yaml:2: unknown key sources_denyed"),
    ("threads: many\n", "overrides.yaml:1: threads"),
    ("role: worker\n", "overrides.yaml:1: unknown key role"),  # one process does both
    ("vault_dir: /elsewhere\n", "overrides.yaml:1: vault_dir is none"),
    ("sources_denied: [10.0.0.0/99]\n", "sources_denied"),
    ("listen: nowhere\n", "listen"), ("threads: [\n", "overrides.yaml:"),
    ("cache_dir: /\n", "cache_dir must be"), ("cache_dir: /./etc\n", "cache_dir must be"),
    ("cache_dir: /usr/.\n", "cache_dir must be"), ("cache_dir: /proc/self/root\n", "cache_dir must be"), ("cache_dir: \"\"\n", "cache_dir"),
    ("run_dir: /proc\n", "run_dir must be"), ("run_dir: /var/../etc\n", "run_dir must be"),
])
def test_up__judges_overrides_and_stops_nothing(house, text, said):
    path, before = house.path("overrides.yaml"), house.note_processes()
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    try:
        refusal = house.fails(4, "up")
        assert "OVERRIDES" in refusal and said in refusal and path in refusal
        found = check_of(house, "overrides.yaml")
        assert found["verdict"] == "fail" and said in found["what"] and "holdfast up" in found["fix"]
        assert house.note_processes() == before
        house.run("info")
    finally:
        os.remove(path)
    house.up()


def test_overrides__say_where_everything_is_and_how_long_logs_are(house, overrides, folder):
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [one.getsockname()[1], two.getsockname()[1]]
    first = read(house.path("holdfast.yaml"))
    house.down()
    overrides(f"listen: 0.0.0.0:{ports[0]}\nmetrics_listen: 127.0.0.1:{ports[1]}\n"
              "log_max_bytes: 64KiB\nlog_files: 2\n")
    assert f"127.0.0.1:{ports[0]}" in house.run("up").stdout
    told = json.loads(house.run("info", "-o", "json").stdout)["endpoints"]
    assert told == {"backup": f"127.0.0.1:{ports[0]}", "metrics": f"127.0.0.1:{ports[1]}"}
    assert house.run("doctor").returncode == 0
    assert f"127.0.0.1:{ports[0]}" in read(os.path.join(house.certs("elsewhere"), "holdfast.yaml"))
    assert read(house.path("holdfast.yaml")) == first
    log = house.path("log", "redis.log")
    for _ in range(2):
        os.truncate(log, 70000)
        proc.wait_until(lambda: os.stat(log).st_size < 70000, what="the next look")
    assert sorted(glob.glob(f"{log}*")) == [log, f"{log}.1"]


def test_overrides__that_are_newer_than_what_runs_are_told(house, overrides):
    assert check_of(house, "process backup")["what"] == "runs"
    overrides("log_files: 3\n")
    for name in ("supervisor", "backup"):
        found = check_of(house, f"process {name}")
        assert found["verdict"] == "warn" and "another overrides.yaml" in found["what"]
    assert "backup runs already, and began with another overrides.yaml" in house.run("up").stderr
    mend(house, "process backup")
    assert check_of(house, "process backup")["what"] == "runs"
    assert "runs already" not in house.run("up").stderr


@pytest.mark.parametrize("name", ["", "run"])
def test_supervisor__ends_with_its_directory(programs, name):
    """Another one may be started in what stands there now: two would run the same servers."""
    with installation() as own:
        before, place = dict(own.note_processes()), own.path(name) if name else own.folder
        os.rename(place, f"{place}.away")
        try:
            proc.wait_until(lambda: not [pid for pid in before.values() if proc.is_alive(pid)],
                            timeout=60, what="the end of its servers")
        finally:
            os.rename(f"{place}.away", place)
        own.up()
        assert set(own.note_processes().values()).isdisjoint(before.values())


def test_up__says_who_holds_it_up(house):
    path, owner = house.path("run", "supervisor.lock"), house.note_processes()["supervisor"]
    said = house.fails(4, "up", "--foreground")
    assert f"process {owner} holds {path}" in said and "kill" not in said


def test_doctor__brings_a_lost_key_back_from_a_copy_of_the_callers(house, folder):
    key = house.path("keys", "vault.key")
    kept = os.path.join(folder, "kept.key")
    shutil.copy(key, kept)
    os.chmod(kept, 0o600)
    os.remove(key)
    try:
        fix = check_of(house, "keys/vault.key")["fix"].replace("COPY", kept)
        proc.run(["sh", "-c", fix])
        assert check_of(house, "keys/vault.key")["verdict"] == "ok"
    finally:
        if not os.path.exists(key):
            shutil.copy(kept, key)
            shutil.chown(key, os.stat(house.folder).st_uid, os.stat(house.folder).st_gid)


def test_doctor__finds_dead_processes(house):
    house.kill()
    assert house.run("doctor", check=False).returncode == 1
    mend(house, "process backup")
    mend_all = house.run("doctor")
    assert "fail" not in mend_all.stdout
    house.note_processes()


def test_info__says_what_it_does_not_know(house):
    done = house.run("info", "-o", "json", check=False)
    assert done.returncode == 0 and json.loads(done.stdout)["clustersKnown"] is True
    assert json.loads(done.stdout)["clusters"] == [] and json.loads(done.stdout)["error"] is None
    list_of = house.path("run", "processes.json")
    pids = house.note_processes()
    os.kill(pids["supervisor"], signal.SIGKILL)  # who would start them again
    kept = read(list_of)
    try:
        foreign = json.dumps({"processes": [{"name": "\x1b[2J", "pid": 1}, {"name": "backup", "pid": -1},
                                            {"name": "backup", "pid": os.getpid()}, [], 7]})
        for name, text in (("postgres", kept), ("backup", kept), ("backup", "{"), ("backup", "[]"),
                           ("backup", '{"processes": {"a": {}}}'), ("backup", foreign)):
            proc.kill_tree(pids[name])
            with open(list_of, "w", encoding="utf-8") as file:
                file.write(text)
            done = house.run("info", "-o", "json", check=False)
            told = json.loads(done.stdout)
            assert done.returncode != 0 and told["clustersKnown"] is False and told["clusters"] is None
            assert told["error"]["code"] == "UNAVAILABLE" and told["error"]["message"] in done.stderr
            assert (told["processes"] is None) == (text not in (kept, foreign))
            if text == foreign:  # neither another's process nor another's words
                assert told["processes"] == [{"name": "backup", "pid": -1, "running": False}]
    finally:
        with open(list_of, "w", encoding="utf-8") as file:
            file.write(kept)
        house.up()


def test_doctor__finds_a_full_disk(house):
    house.down()
    proc.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", house.path("vault")])
    try:
        found = {check["name"]: check for check in
                 json.loads(house.run("doctor", "-o", "json", check=False).stdout)["checks"]}
    finally:
        proc.run(["umount", "-l", house.path("vault")])
    assert found["disk"]["verdict"] == "fail" and "du -xsh" in found["disk"]["fix"]
    assert "vault of the service" not in found  # nobody holds one
    house.up()
    assert {check_of(house, name)["verdict"] for name in ("disk", "vault of the service")} == {"ok"}


def is_another(house, before):
    """Has the supervisor put a new service in the place of this one, and does it answer?"""
    told = json.loads(house.run("info", "-o", "json", check=False).stdout)["processes"]
    now = [item["pid"] for item in told if item["name"] == "backup" and item["running"]]
    return bool(now) and int(now[0]) != before and answers(house)


def test_vault__moved_under_the_service_takes_no_promise_along(house, source):
    """To a bigger disk, the natural way; nothing of it is acknowledged into the old directory."""
    vault, before = house.path("vault"), house.note_processes()["backup"]
    house.add_cluster("orders", source)
    proc.wait_until(lambda: house.hf("wal", "status", "orders")["receiverState"] == "STREAMING")
    said = len(backup_says(house))
    os.rename(vault, f"{vault}.old")
    source.psql("create table moved as select generate_series(1, 1000)")
    proc.wait_until(lambda: "VAULT_MISSING" in backup_says(house)[said:], what="a refusal")
    assert "directory.replaced" in backup_says(house)[said:]
    assert not os.path.exists(vault)  # `cp -a vault.old vault` would copy into it
    proc.run(["cp", "-a", f"{vault}.old", vault])
    shutil.rmtree(f"{vault}.old")
    proc.wait_until(lambda: is_another(house, before), timeout=60, what="a new service")
    house.note_processes()
    backup = house.backup("orders")["name"]
    assert house.run("backup", "verify", backup).returncode == 0
    assert house.run("doctor").returncode == 0
    assert "gap" not in house.run("wal", "status", "orders").stdout.lower()


@pytest.mark.parametrize("name", ["cache", "state"])
def test_service__begins_anew_with_a_directory_that_was_removed(house, name):
    before = house.note_processes()["backup"]
    shutil.rmtree(house.path(name))
    proc.wait_until(lambda: is_another(house, before), timeout=60, what="a new service")
    house.note_processes()
    house.backup("orders")
    assert house.run("doctor").returncode == 0
    if name == "state":
        house.run("cluster", "remove", "orders")


def test_doctor__finds_a_cluster_without_a_backup_and_a_source_that_is_away(house, source):
    house.add_cluster("orders", source)
    proc.wait_until(lambda: house.hf("wal", "status", "orders")["receiverState"] == "STREAMING")
    checks = json.loads(house.run("doctor", "-o", "json").stdout)["checks"]
    lacking = [check for check in checks if check["name"] == "cluster orders"
               and check["verdict"] == "warn"]
    assert lacking[0]["fix"] == "holdfast backup create orders --wait"
    house.backup("orders")
    source.kill()
    proc.wait_until(lambda: check_of(house, "cluster orders")["verdict"] == "fail", timeout=20)
    assert "orders: WAL DOES NOT STREAM: " in house.run("info").stdout
    source.start()
    proc.wait_until(lambda: check_of(house, "cluster orders")["verdict"] == "ok", timeout=60)
    house.run("cluster", "remove", "orders")


@pytest.mark.parametrize("name", ["supervisor.lock", "processes.json"])
def test_supervisor__makes_again_what_a_cleaner_of_old_files_took(house, name):
    before = house.note_processes()
    os.unlink(house.path("run", name))
    proc.wait_until(lambda: os.path.exists(house.path("run", name)), what=name)
    house.up()
    assert house.note_processes() == before
    assert house.run("doctor", check=False).returncode == 0
    assert "supervisor" in house.fails(4, "up", "--foreground")  # there is one, and it says so


def test_supervisor__brings_back_what_dies_without_being_asked(house):
    before = house.note_processes()
    house.kill("backup", "redis")

    def are_back():
        told = json.loads(house.run("info", "-o", "json", check=False).stdout)["processes"]
        return {item["name"] for item in told
                if item["running"] and item["pid"] != before[item["name"]]} == {"backup", "redis"}

    proc.wait_until(are_back, timeout=20, what="new processes")
    proc.wait_until(lambda: house.run("cluster", "list", check=False).returncode == 0)
    house.note_processes()
    assert "signal 9" in read(house.path("log", "supervisor.log"))
