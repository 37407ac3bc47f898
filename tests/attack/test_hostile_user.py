"""Another user of the machine, without rights: what he reads, sends, signals, takes and leaves in
the way. Each attempt is made by a child that has become that user.
"""

import ctypes
import os
import pwd
import signal
import socket
import stat
import traceback

import pytest

from support import proc
from support.holdfast import bin_folder

pytestmark = pytest.mark.no_asan  # permissions, not bytes

PTRACE_ATTACH = 16
NEIGHBOURS = ["nobody", "postgres"]  # a stranger, and who owns the protected server's account
NO_SECRETS = {"holdfast.yaml", "processes.json"}


def as_user(name, act):
    """Runs act() in a child of another user: None, or the text of what it raised."""
    user = pwd.getpwnam(name)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            act()
            os.write(writing, b"")
        except BaseException:  # whatever it is, the parent judges it
            os.write(writing, traceback.format_exc()[-4000:].encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        said = file.read().decode()
    os.waitpid(pid, 0)
    return said or None


def refused(act, *, by=(PermissionError, ProcessLookupError)):
    """act() must be refused; what it gives otherwise is the failure."""
    try:
        got = act()
    except by:
        return
    raise AssertionError(f"not refused: {got!r}"[:500])


@pytest.fixture(scope="module")
def house(attacked):
    attacked.house.note_processes()
    return attacked.house


@pytest.fixture(scope="module")
def orders(attacked):
    return attacked.source


@pytest.fixture(params=NEIGHBOURS)
def neighbour(request, house, orders):
    owner = os.stat(f"/proc/{house.pids['backup']}").st_uid
    if owner == pwd.getpwnam(request.param).pw_uid:
        pytest.fail(f"the services run as {request.param}: that user could do all of this")
    return request.param


def everything(folder):
    """Paths below a folder, as root sees them."""
    return [os.path.join(parent, name) for parent, folders, files in os.walk(folder)
            for name in [*folders, *files]]


def test_user__reads_and_writes_nothing_of_the_installation(house, neighbour, attempts):
    paths = [house.folder, *everything(house.folder)]

    def act():
        for path in paths:
            refused(lambda: os.listdir(path) if os.path.isdir(path) else open(path, "rb"),
                    by=(PermissionError, FileNotFoundError))
            refused(lambda: os.open(path + ".x", os.O_WRONLY | os.O_CREAT, 0o600),
                    by=(PermissionError, FileNotFoundError, NotADirectoryError))
            refused(lambda: os.chmod(path, 0o777), by=(PermissionError, FileNotFoundError))
            refused(lambda: os.rename(path, path + ".x"), by=(PermissionError, FileNotFoundError))

    assert as_user(neighbour, act) is None
    assert stat.S_IMODE(os.stat(house.folder).st_mode) & 0o077 == 0
    attempts.add("local user", "files", "read, write, rename, chmod each path", "refused", True)


def test_user__no_file_is_readable_by_others_even_if_the_folder_were_open(house, orders, attempts):
    loose = [path for path in everything(house.folder)
             if not os.path.islink(path) and os.lstat(path).st_mode & 0o007
             and not stat.S_ISSOCK(os.lstat(path).st_mode) and "test-certs" not in path
             and "/pki/" not in path and os.path.basename(path) not in NO_SECRETS]
    assert not loose, loose[:20]
    keys = [path for path in everything(house.folder) if path.endswith(".key")
            or path.startswith(house.path("keys"))]
    assert keys and not [path for path in keys if os.lstat(path).st_mode & 0o077
                         and not os.path.isdir(path) and "test-certs" not in path]
    attempts.add("local user", "files", "modes behind the closed folder", "nothing for others",
                 True)


def test_user__sockets_take_nobody_in(house, neighbour, attempts):
    sockets = [path for path in everything(house.folder)
               if stat.S_ISSOCK(os.lstat(path).st_mode)]
    assert sockets

    def act():
        for path in sockets:
            with socket.socket(socket.AF_UNIX) as one:
                refused(lambda: one.connect(path), by=(PermissionError, FileNotFoundError))

    assert as_user(neighbour, act) is None
    attempts.add("local user", "sockets", "connect to PostgreSQL, Redis, supervisor", "refused",
                 True)


def test_user__processes_show_and_obey_nothing(house, neighbour, attempts):
    libc = ctypes.CDLL(None, use_errno=True)

    def attach(pid):
        if libc.ptrace(PTRACE_ATTACH, pid, None, None) != 0:
            raise PermissionError(ctypes.get_errno())

    def act():
        for pid in house.pids.values():
            for name in ("environ", "mem", "maps", "auxv", "stack", "fd", "cwd", "root", "exe"):
                path = f"/proc/{pid}/{name}"
                refused(lambda: os.listdir(path) if name == "fd" else
                        os.readlink(path) if name in ("cwd", "root", "exe") else
                        open(path, "rb").read(16))
            for sign in (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP, signal.SIGHUP):
                refused(lambda: os.kill(pid, sign))
            refused(lambda: attach(pid))

    assert as_user(neighbour, act) is None
    assert all(proc.is_alive(pid) for pid in house.pids.values())
    attempts.add("local user", "processes", "environ, mem, maps, fd, signals, ptrace", "refused",
                 True)


def secrets_of(house):
    """Bytes that nobody may find: of key files and of the password that the test gave."""
    found = {b"attack-canary-password"}
    for path in everything(house.path("keys")):
        if os.path.isfile(path):
            with open(path, "rb") as file:
                found |= {line.strip() for line in file if len(line.strip()) >= 32
                          and b"-----" not in line}
    return found


def test_user__no_secret_stands_in_a_command_line(house, orders, attempts):
    secrets = secrets_of(house)
    house.run("cluster", "add", "canary", "--dsn", orders.dsn(), "--password-stdin",
              stdin="attack-canary-password\n", check=False)
    assert len(secrets) > 1
    for pid in {*house.pids.values(), *proc.children(house.pids["supervisor"])}:
        for name in ("cmdline", "environ", "comm"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as file:
                    text = file.read()
            except (FileNotFoundError, ProcessLookupError):
                continue
            assert not [one for one in secrets if one in text], f"{name} of {pid}"
    attempts.add("local user", "processes", "secrets in argv and environ", "none", True)


def test_user__leaves_nothing_in_the_way_below_tmp(house, neighbour, attempts):
    """No service uses a name below a folder that everybody may write."""
    opened = set()
    for pid in house.pids.values():
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                opened.add(os.readlink(f"/proc/{pid}/fd/{name}"))
            except FileNotFoundError:
                continue
    shared = [path for path in opened if path.startswith(("/tmp/", "/var/tmp/", "/dev/shm/"))
              and not path.startswith((house.folder, bin_folder(), "/dev/shm/PostgreSQL"))]
    assert not shared, shared
    attempts.add("local user", "/tmp", "names taken in advance", "no service uses one", True)


def test_user__who_takes_the_port_is_not_believed(house, neighbour, folder, attempts):
    """While the service restarts its port is free: the command line asks for the certificate."""
    port = int(house.endpoint().rsplit(":", 1)[1])
    house.kill("supervisor", "backup")
    os.chmod(folder, 0o777)

    def act():
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen()
            listener.settimeout(20)
            open(f"{folder}/ready", "w", encoding="ascii").close()
            heard = b""
            while not os.path.exists(f"{folder}/done"):
                try:
                    taken, _ = listener.accept()
                except TimeoutError:
                    break
                taken.settimeout(2)
                try:
                    heard += taken.recv(65536)
                    taken.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"\0" * 1000)
                except OSError:
                    pass
                taken.close()
        assert b"attack-canary-password" not in heard

    pid = os.fork()
    if pid == 0:
        said = as_user(neighbour, act)
        os._exit(1 if said else 0)
    try:
        proc.wait_until(lambda: os.path.exists(f"{folder}/ready"), what="the port")
        done = house.run("cluster", "list", check=False, timeout=60)
        assert done.returncode == 5, done.stderr
    finally:
        open(f"{folder}/done", "w", encoding="ascii").close()
        with socket.socket() as knock:
            knock.connect_ex(("127.0.0.1", port))
        code = os.waitpid(pid, 0)[1]
        house.up()
    assert code == 0 and house.hf("cluster", "list")["clusters"]
    attempts.add("local user", "ports", "the service's port while it restarts",
                 "no certificate, no answer is believed", True)
