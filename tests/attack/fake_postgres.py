"""A PostgreSQL that lies on command.

Each connection is relayed to a real server, message by message, so that whatever is not lied about
is true; passwords and TLS are the fake's own, and so is (unless `is_small` is off) the base backup:
a few files that a backup of milliseconds consists of. A lie is a table row of lies.py: at the stages
that it names its act speaks in the server's place.

Stages, in the order of a connection: accept, tls, auth, params, ready; then one per command, see
COMMANDS; within a stream wal and keepalive.
"""

import contextlib
import os
import re
import select
import socket
import ssl
import struct
import subprocess
import threading
import time

import pgmessages as pg
from support import proc

COMMANDS = [(name, re.compile(pattern, re.IGNORECASE)) for name, pattern in (
    ("identify", r"IDENTIFY_SYSTEM"), ("start", r"START_REPLICATION"), ("backup", r"BASE_BACKUP"),
    ("history", r"TIMELINE_HISTORY"), ("segment", r"SHOW wal_segment_size"),
    ("level", r"SHOW wal_level"), ("show", r"SHOW "), ("slot-drop", r"DROP_REPLICATION|pg_drop_"),
    ("slot-make", r"CREATE_REPLICATION|pg_create_physical"),
    ("slot-read", r"READ_REPLICATION|slot_name ="), ("clock", r"clock_timestamp"),
    ("count", r"select count"), ("role", r"rolsuper|rolreplication"), ("size", r"database_size"))]
CONNECT_STAGES = ("accept", "tls", "auth", "params", "ready")
MOST_BYTES = 192 << 20  # of one endless lie on one connection


class Gone(Exception):
    """This connection is over."""


def stage_of(sql):
    return next((name for name, pattern in COMMANDS if pattern.search(sql)), "other")


def tls_context(folder):
    """A server's context with a certificate of its own making."""
    key, cert = os.path.join(folder, "fake.key"), os.path.join(folder, "fake.crt")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-days", "2",
                    "-keyout", key, "-out", cert], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def without_tls(peer, context):
    """The plain end of a TLS connection; one thread turns the other."""
    outer = context.wrap_socket(peer, server_side=True)
    plain, inner = socket.socketpair()

    def turn():
        with contextlib.suppress(OSError, ValueError), inner, outer:
            while True:
                ready = [outer] if outer.pending() else select.select([outer, inner], [], [])[0]
                for source, target in ((outer, inner), (inner, outer)):
                    data = source.recv(65536) if source in ready else None
                    if data == b"":
                        return
                    if data:
                        target.sendall(data)

    threading.Thread(target=turn, daemon=True).start()
    return plain


class Talk(threading.Thread):
    """One connection of the service."""

    def __init__(self, fake, peer):
        super().__init__(daemon=True)
        self.fake, self.raw, self.client = fake, peer, peer
        self.upstream = None
        self.lock = threading.Lock()
        self.parameters = {}
        self.stage, self.sql, self.is_extended, self.is_copying = "accept", "", False, False
        self.position = 0     # newest LSN heard from the real server
        self.lie = None       # what this connection has been told
        self.is_open = True

    # What an act may do.
    def send(self, data):
        try:
            with self.lock:
                self.client.sendall(data)
        except (OSError, ValueError) as failure:
            raise Gone from failure

    def answer(self, data):
        """The whole answer to a command, framed as the client asked."""
        self.send((pg.message(b"1") + pg.message(b"2") if self.is_extended else b"") + data
                  + pg.ready())

    def is_lying(self):
        return self.is_open and self.fake.lie is not None and self.fake.lie is self.lie

    def endless(self, data, most=MOST_BYTES, pause=0.0):
        """The same again and again, for as long as the lie lasts."""
        sent = 0
        while self.is_lying() and sent < most:
            self.send(data)
            sent += len(data)
            time.sleep(pause)
        self.hush()

    def slow(self, data, pause=1.0):
        for at in range(len(data)):
            if not self.is_lying():
                break
            self.send(data[at:at + 1])
            time.sleep(pause)
        self.hush()

    def hush(self):
        """Not a word until the lie is over; then the connection ends."""
        while self.is_lying():
            time.sleep(0.05)
        raise Gone

    def end(self):
        raise Gone

    def reset(self):
        with contextlib.suppress(OSError):
            self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.raw.close()
        raise Gone

    def half_close(self):
        with contextlib.suppress(OSError):
            self.raw.shutdown(socket.SHUT_WR)
        self.hush()

    # The connection.
    def tell(self, stage, kind=b"", body=b""):
        """Whether a lie stood in for the truth."""
        lie = self.fake.lie
        self.stage = stage
        if lie is None or stage not in lie.acts or (
                self.fake.only and stage not in CONNECT_STAGES[:2]
                and self.parameters.get("application_name") != self.fake.only):
            return False
        self.lie = lie
        self.fake.told += 1
        return lie.acts[stage](self, kind, body) is not True

    def run(self):
        try:
            if not self.tell("accept"):
                self.greet()
                self.check_password()
                self.join_upstream()
                threading.Thread(target=self.guard, args=(self.from_upstream,), daemon=True).start()
                self.from_client()
        except (Gone, OSError, ValueError, struct.error, IndexError):
            pass
        self.close()

    def guard(self, loop):
        try:
            loop()
        except (Gone, OSError, ValueError, struct.error, IndexError):
            pass
        self.close()

    def close(self):
        self.is_open = False
        for peer in (self.client, self.raw, self.upstream):
            with contextlib.suppress(OSError, AttributeError):
                peer.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError, AttributeError):
                peer.close()

    def greet(self):
        code, rest = pg.read_startup(self.client)
        while code in (pg.SSL_REQUEST, pg.GSS_REQUEST):
            if code == pg.SSL_REQUEST and self.tell("tls"):
                raise Gone
            is_tls = code == pg.SSL_REQUEST and self.fake.tls is not None
            self.send(b"S" if is_tls else b"N")
            if is_tls:
                self.client = without_tls(self.client, self.fake.tls)
            code, rest = pg.read_startup(self.client)
        if code != pg.PROTOCOL:
            raise Gone
        words = rest.rstrip(b"\0").split(b"\0")
        self.parameters = {words[i].decode(): words[i + 1].decode()
                           for i in range(0, len(words) - 1, 2)}
        self.fake.heard.append(self.parameters)

    def check_password(self):
        if self.tell("auth"):
            raise Gone
        user, password, how = self.parameters["user"], self.fake.password, self.fake.auth
        is_right = True
        if how == "cleartext":
            self.send(pg.auth(3))
            is_right = pg.read_message(self.client)[1] == password.encode() + b"\0"
        elif how == "md5":
            self.send(pg.auth(5, b"salt"))
            want = pg.md5_answer(user, password, b"salt") + b"\0"
            is_right = pg.read_message(self.client)[1] == want
        elif how == "scram":
            is_right = self.check_scram(pg.Scram(password))
        if not is_right:
            self.send(pg.error("password authentication failed", "28P01", "FATAL"))
            raise Gone
        self.send(pg.auth(0))

    def check_scram(self, scram):
        self.send(pg.auth(10, b"SCRAM-SHA-256\0\0"))
        initial = pg.read_message(self.client)[1]
        self.send(pg.auth(11, scram.first(initial.split(b"\0", 1)[1][4:])))
        final = scram.final(pg.read_message(self.client)[1])
        if final is not None:
            self.send(pg.auth(12, final))
        return final is not None

    def join_upstream(self):
        self.upstream = socket.socket(socket.AF_UNIX)
        self.upstream.connect(self.fake.upstream)
        self.upstream.sendall(pg.startup(**self.parameters))
        while True:
            kind, body = pg.read_message(self.upstream)
            if kind == b"Z":
                break
            if kind == b"S" and body.startswith(b"server_version\0") and self.fake.version:
                body = b"server_version\0" + self.fake.version.encode() + b"\0"
            if kind != b"R":
                self.send(pg.message(kind, body))
            if kind == b"E":
                raise Gone
        if self.tell("params"):
            raise Gone
        if self.tell("ready"):
            raise Gone
        self.send(pg.ready())

    def from_client(self):
        pending = b""
        while True:
            kind, body = pg.read_message(self.client)
            pending += pg.message(kind, body)
            if kind in (b"Q", b"P"):
                self.is_extended = kind == b"P"
                self.sql = body.split(b"\0")[1 if self.is_extended else 0].decode(errors="replace")
            if kind in (b"P", b"B", b"D", b"E"):
                continue
            if kind in (b"Q", b"S"):
                self.is_copying = False
                if self.command():
                    pending = b""
                    continue
            self.upstream.sendall(pending)
            pending = b""

    def command(self):
        """Whether a command was answered here."""
        stage = stage_of(self.sql)
        if self.tell(stage):
            return True
        if stage == "backup" and self.fake.is_small:
            self.send(SmallBackup(self).bytes())
            return True
        return False

    def from_upstream(self):
        while True:
            kind, body = pg.read_message(self.upstream)
            self.is_copying = self.is_copying or (kind == b"W" and self.stage == "start")
            if kind == b"d" and self.is_copying:
                is_wal = body[:1] == b"w"
                heard = struct.unpack(">Q", body[1:9])[0] + (len(body) - 25 if is_wal else 0)
                self.position = max(self.position, heard)
                if self.tell("wal" if is_wal else "keepalive", kind, body):
                    continue
            self.send(pg.message(kind, body))


class SmallBackup:
    """A base backup of a few files. Each part can be replaced before bytes()."""

    def __init__(self, talk):
        lsn = pg.lsn_text(pg.lsn_parse(pg.ask(talk.fake.upstream,
                                              "select pg_current_wal_flush_lsn()")))
        self.is_typed = not talk.fake.version.startswith("14")
        self.start = pg.rows((lsn, "1"), names=["recptr", "tli"])
        self.spaces = pg.rows((None, None, "30"), names=["spcoid", "spclocation", "size"])
        self.label = (f"START WAL LOCATION: {lsn} (file 000000010000000000000001)\n"
                      f"CHECKPOINT LOCATION: {lsn}\nBACKUP METHOD: streamed\n"
                      "BACKUP FROM: primary\nSTART TIME: 2026-01-01 00:00:00 UTC\n"
                      "LABEL: small\nSTART TIMELINE: 1\n").encode()
        self.members = [pg.tar_member("backup_label", self.label),
                        pg.tar_member("PG_VERSION", b"15\n"),
                        pg.tar_member("base", kind=b"5", mode=b"0000700\0"),
                        pg.tar_member("base/1", bytes(range(256)) * 64)]
        self.tar_end = pg.TAR_END
        self.name = b"base.tar"
        self.end = pg.rows((lsn, "1"), names=["recptr", "tli"])

    def archive(self):
        """The COPY with its one archive."""
        tar = b"".join(self.members) + self.tar_end
        if not self.is_typed:
            return pg.copy_begin(b"H") + self.chunks(tar, b"") + pg.COPY_DONE
        return (pg.copy_begin(b"H") + pg.copy_data(b"n" + self.name + b"\0\0")
                + self.chunks(tar, b"d") + pg.COPY_DONE)

    @staticmethod
    def chunks(tar, kind):
        return b"".join(pg.copy_data(kind + tar[at:at + 32768])
                        for at in range(0, len(tar), 32768))

    def bytes(self):
        return (self.start + self.spaces + self.archive() + self.end
                + pg.complete("BASE_BACKUP") + pg.ready())


class FakePostgres:
    """Listens on a loopback port in front of a real server's UNIX socket."""

    def __init__(self, upstream, *, auth="trust", password="", tls=None, version="",
                 is_small=True):
        self.upstream, self.auth, self.password = upstream, auth, password
        self.tls, self.version, self.is_small = tls, version, is_small
        self.lie, self.only, self.told = None, None, 0
        self.talks = []
        self.heard = []  # the parameters of each start
        self.port = proc.free_port()
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                peer = self.listener.accept()[0]
                talk = Talk(self, peer)
                self.talks = [other for other in self.talks if other.is_open] + [talk]
                talk.start()

    def dsn(self):
        return f"host=127.0.0.1 port={self.port} user=holdfast dbname=postgres"

    def arm(self, lie, only=None):
        """From now on this is told at its stages, to one application or to all."""
        self.told, self.only, self.lie = 0, only, lie

    def disarm(self):
        """Honest again; connections that were lied to end."""
        self.lie = self.only = None
        for talk in self.talks:
            if talk.lie is not None:
                talk.close()

    def kick(self):
        for talk in self.talks:
            talk.close()

    def close(self):
        self.lie = None
        # A thread in accept() keeps a closed listener alive: wake it first.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.kick()
