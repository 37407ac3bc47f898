"""Processes, ports and folders of tests: everything private, everything ended by pid."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PARTS = os.path.join(ROOT, "tests", "parts", "get.sh")
FIRST_PORT, LAST_PORT = 20000, 32000  # below the range that the kernel hands to clients


def unprivileged():
    """Prefix for the command of a protected server, which refuses to run as root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]


def give_to_server_user(path):
    """Makes the user that protected servers run as own a path. Holdfast's own run as another one."""
    if os.geteuid() == 0:
        shutil.chown(path, "postgres", "postgres")


def run(command, *, check=True, timeout=120, env=None, stdin="", cwd=None):
    """Runs a program to its end; text in and out. check: a failure is an AssertionError."""
    done = subprocess.run([str(word) for word in command], input=stdin, env=env, cwd=cwd,
                          timeout=timeout, text=True, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}\n"
                             f"{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done


def part(name):
    """Bin directory of a part of tests/parts/versions.txt, fetched when missing."""
    return run([PARTS, name], timeout=900).stdout.strip().splitlines()[-1]


def free_port():
    """A loopback port that nobody listens on."""
    for _ in range(200):
        port = random.randint(FIRST_PORT, LAST_PORT)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


def new_folder(prefix="hf-test-"):
    """A folder that every user may enter; remove it with remove_folder."""
    path = tempfile.mkdtemp(prefix=prefix, dir="/tmp")
    os.chmod(path, 0o755)
    return path


def remove_folder(path):
    shutil.rmtree(path, ignore_errors=True)


def is_alive(pid):
    """Whether a process runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def command_line(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().decode().rstrip("\0").split("\0")


def children(pid):
    """All descendants of a process, deepest last."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            own = [int(word) for word in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return own + [pid for child in own for pid in children(child)]


def send(pid, sign):
    try:
        os.kill(pid, sign)
    except ProcessLookupError:
        pass


def kill_tree(pid):
    """kill -9 of a process and all that it started."""
    for victim in [pid, *children(pid)]:
        send(victim, signal.SIGKILL)


def mentioning(text):
    """Pids of the processes whose command line contains a text, this one excepted."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                if text.encode() in file.read():
                    found.append(int(name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def wait_until(condition, *, timeout=30, what="condition", interval=0.05):
    """The first true value of condition(); an AssertionError after timeout seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout} s")
        time.sleep(interval)


def end(pid, timeout=20):
    """SIGTERM, and SIGKILL to the tree when that does not help."""
    send(pid, signal.SIGTERM)
    try:
        wait_until(lambda: not is_alive(pid), timeout=timeout)
    except AssertionError:
        kill_tree(pid)
