"""Secrets by canary: known bytes go in, and after a whole round with failures and crashes they are
looked for, raw, in hex and in base64, wherever bytes get out.
"""

import base64
import binascii
import glob
import os
import re
import secrets
import signal
import socket
import struct
import threading

import pytest

from support import proc
from support.holdfast import Holdfast

PLAYED = "a whole round with failures, a crash, a restore"
pytestmark = pytest.mark.no_asan  # what a sanitizer keeps in memory is no secret of ours

ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
PIECE = 1 << 22


class Loopback:
    """What passes on lo, kept by port: raw sockets, so only as root."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
        self.socket.bind(("lo", 0))
        self.socket.settimeout(0.2)
        self.streams = {}
        self.is_over = False
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()

    def listen(self):
        while not self.is_over:
            try:
                frame = self.socket.recv(1 << 17)
            except TimeoutError:
                continue
            if frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_TCP:
                continue
            tcp = 14 + (frame[14] & 15) * 4
            source, target = struct.unpack("!HH", frame[tcp:tcp + 4])
            payload = frame[tcp + (frame[tcp + 12] >> 4) * 4:]
            for port in {source, target}:
                self.streams.setdefault(port, bytearray()).extend(payload)

    def stop(self):
        self.is_over = True
        self.thread.join()
        self.socket.close()

    def of(self, *ports):
        return b"".join(bytes(self.streams.get(port, b"")) for port in ports)


def forms(secret):
    """A secret as somebody could write it by mistake."""
    found = {secret, binascii.hexlify(secret), binascii.hexlify(secret).upper()}
    for shift in range(3):  # base64 in the middle of other bytes
        text = base64.b64encode(b"\0" * shift + secret)
        found.add(text[4 if shift else 0:-4])
    return found


def read(path):
    with open(path, "rb") as file:
        return file.read()


def pem_body(path):
    """The decoded inside of a private key; its last 32 bytes are not the same in every key."""
    body = re.sub(rb"-----[^-]+-----|\s", b"", read(path))
    return base64.b64decode(body)


def memory_of(pid):
    """All that a process may write to, as the machine's root sees it."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            if not rights.startswith("rw") or "[v" in line:
                continue
            first, last = (int(word, 16) for word in span.split("-"))
            while first < last:
                memory.seek(first)
                try:
                    yield memory.read(min(PIECE, last - first))
                except OSError:
                    break
                first += PIECE


def files_below(folder):
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield path


class Round:
    """The installation, its secrets, and everything that was said in the course of the round."""

    def __init__(self, house, source, folder):
        self.house, self.source, self.folder = house, source, folder
        self.password = f"canary-password-{secrets.token_hex(12)}"
        self.wrong = f"canary-wrong-{secrets.token_hex(12)}"
        self.data = f"canary-data-{secrets.token_hex(20)}"
        self.said = b""

    def call(self, *words, **options):
        done = self.house.run(*words, check=False, **options)
        self.said += (done.stdout + done.stderr).encode()
        return done

    def secrets(self):
        """name → bytes."""
        keys = self.house.path("keys")
        found = {"the source's password": self.password.encode(), "a wrong password": self.wrong.encode(),
                 "the metrics token": read(f"{keys}/metrics.token").strip(),
                 "the vault's key": bytes.fromhex(read(f"{keys}/vault.key").decode()),
                 "the secrets key": bytes.fromhex(read(f"{keys}/secrets.key").decode()),
                 "the signing key": pem_body(f"{keys}/signing.key")[-32:]}
        for path in glob.glob(self.house.path("pki", "*", "*.key")):
            found[f"the key of {path}"] = pem_body(path)[8:56]
        return found


class Echo(threading.Thread):
    """A server that answers everybody with what he should not repeat."""

    def __init__(self, text, code):
        super().__init__(daemon=True)
        fields = (f"SFATAL\0VFATAL\0C{code}\0Mdenied: {text}\0D{text}\0H{text}\0\0").encode()
        self.answer = b"E" + struct.pack("!I", len(fields) + 4) + fields
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with peer:
                if struct.unpack("!II", peer.recv(8))[1] == 80877103:  # wants TLS
                    peer.sendall(b"N")
                    peer.recv(1 << 16)
                peer.sendall(self.answer)


def crash(house, number):
    """The service dies by a signal and is brought back."""
    pid = house.note_processes()["backup"]
    os.kill(pid, number)
    proc.wait_until(lambda: not proc.is_alive(pid), what="end of the service")
    proc.wait_until(lambda: house.run("cluster", "list", check=False).returncode == 0, timeout=60,
                    what="the service again")


@pytest.fixture(scope="module")
def played(programs, start_server):
    home = proc.new_folder("hf-up-")
    house = Holdfast(os.path.join(home, "dir"))
    source = start_server()
    wire = Loopback()
    played = Round(house, source, home)
    echoes = [Echo(played.password, code) for code in ("28P01", "XX000", "57P03")]
    dsn = f"host=127.0.0.1 port={source.port} user=holdfast dbname=postgres sslmode=disable"
    try:
        house.up()
        source.psql(f"alter role holdfast password '{played.password}'")
        source.psql(f"create table canary as select '{played.data}'::text as text from generate_series(1, 500)")
        played.call("cluster", "add", "wrong", "--dsn", dsn, "--password-stdin", stdin=f"{played.wrong}\n")
        for echo in echoes:
            played.call("cluster", "add", "echo", "--dsn", dsn.replace(str(source.port), str(echo.port)),
                        "--password-stdin", stdin=f"{played.password}\n")
        assert played.said.count(b"\n") >= 4, "each was refused with a text"
        played.call("cluster", "add", "inside", "--dsn", f"{dsn} password={played.password}")
        added = played.call("cluster", "add", "orders", "--dsn", dsn, "--password-stdin",
                            stdin=f"{played.password}\n")
        assert added.returncode == 0, added.stderr
        assert played.call("backup", "create", "orders", "--wait").returncode == 0
        crash(house, signal.SIGABRT)
        crash(house, signal.SIGSEGV)
        source.psql("alter role holdfast password 'another'")  # the receiver's next login fails
        house.kill("backup")
        proc.wait_until(lambda: house.run("cluster", "list", check=False).returncode == 0, timeout=60,
                        what="the service again")
        target = os.path.join(home, "restored")
        assert played.call("restore", "orders", "--to", target, "--latest").returncode == 0
        for words in (["doctor"], ["info"], ["cluster", "list"], ["cluster", "describe", "orders"],
                      ["backup", "list", "orders"], ["job", "list"]):
            played.call(*words)
            played.call(*words, "-o", "json")
        house.note_processes()
        yield played, wire
    finally:
        wire.stop()
        for echo in echoes:
            echo.listener.close()
        house.down()
        proc.remove_folder(home)


def assert_absent(place, data, found):
    for name, secret in found.items():
        for form in forms(secret):
            assert form not in data, f"{name} is in {place}"


def test_nothing_that_was_said_has_a_secret(played, attempts):
    played, _ = played
    assert_absent("what the command line printed", played.said, played.secrets())
    attempts.add("canary", "output, errors and bundles", PLAYED, "no known secret is there")


def test_no_file_but_the_keys_has_a_secret(played, attempts):
    """Logs, the state database with its WAL, the vault, caches, sockets' folder, settings."""
    played, _ = played
    found = {**played.secrets(), "data": played.data.encode()}
    looked = 0
    for path in files_below(played.house.folder):
        inside = os.path.relpath(path, played.house.folder)
        if not inside.startswith(("keys/", "pki/", "test-certs/")) and inside != "recovery-kit.txt":
            assert_absent(inside, read(path), found)
            looked += 1
    assert looked > 100, "PostgreSQL's files are among them"
    attempts.add("canary", "logs, state, vault, caches, settings", PLAYED, "no known secret is there")


def test_no_process_shows_a_secret(played, attempts):
    played, _ = played
    for pid in {*played.house.pids.values(), *proc.mentioning(played.house.folder)}:
        for name in ("cmdline", "environ"):
            assert_absent(f"{name} of {pid}", read(f"/proc/{pid}/{name}"), played.secrets())
    attempts.add("canary", "command lines and environments", PLAYED, "no known secret is there")


def test_redis_has_no_secret_in_its_memory(played, attempts):
    played, _ = played
    found = {**played.secrets(), "data": played.data.encode()}
    pieces = list(memory_of(played.house.pids["redis"]))
    assert sum(map(len, pieces)) > 1 << 20
    assert_absent("the memory of Redis", b"".join(pieces), found)
    attempts.add("canary", "memory of Redis", PLAYED, "no known secret is there")


def test_packets_have_no_secret(played, attempts):
    """The source's link is as its sslmode says, here plain: its data pass, its password does not."""
    played, wire = played
    source, api = played.source.port, int(played.house.endpoint().rsplit(":", 1)[1])
    assert played.data.encode() in wire.of(source), "the wire was listened to"
    assert len(wire.of(api)) > 100_000, "a restore passed"
    assert_absent("packets of the API", wire.of(api), {**played.secrets(), "data": played.data.encode()})
    assert_absent("packets of the source", wire.of(source), played.secrets())
    attempts.add("canary", "packets", PLAYED, "no known secret is there")


def test_a_crash_leaves_no_core(played, attempts):
    played, _ = played
    left = [path for path in files_below(played.house.folder)
            if re.fullmatch(r"core(\.\d+)?", os.path.basename(path))]
    assert left == [] and glob.glob("/var/lib/systemd/coredump/core.holdfast*") == []
    attempts.add("canary", "cores", PLAYED, "no known secret is there")
