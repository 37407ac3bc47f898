"""Messages of PostgreSQL's protocol as bytes: what a server says, honest or not."""

import base64
import hashlib
import hmac
import os
import socket
import struct
import time

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST, PROTOCOL = 80877103, 80877104, 80877102, 196608
PG_EPOCH_US = 946684800 * 1_000_000


def message(kind, body=b""):
    return kind + struct.pack(">I", len(body) + 4) + body


def lying(kind, length, body=b""):
    """A message that claims a length."""
    return kind + struct.pack(">I", length & 0xFFFFFFFF) + body


def text(value):
    return value if isinstance(value, bytes) else str(value).encode()


def fields_body(**fields):
    return b"".join(name.encode() + text(value) + b"\0" for name, value in fields.items()) + b"\0"


def error(message_text, sqlstate="XX000", severity="ERROR", **more):
    return message(b"E", fields_body(S=severity, V=severity, C=sqlstate, M=message_text, **more))


def notice(message_text, sqlstate="01000", severity="WARNING"):
    return message(b"N", fields_body(S=severity, V=severity, C=sqlstate, M=message_text))


def parameter(name, value):
    return message(b"S", text(name) + b"\0" + text(value) + b"\0")


def backend_key(pid=4242, key=7):
    return message(b"K", struct.pack(">II", pid & 0xFFFFFFFF, key))


def ready(state=b"I"):
    return message(b"Z", state)


def auth(code, rest=b""):
    return message(b"R", struct.pack(">I", code) + rest)


def row_description(names):
    body = struct.pack(">H", len(names))
    for name in names:
        body += text(name) + b"\0" + struct.pack(">IHIhih", 0, 0, 25, -1, -1, 0)
    return message(b"T", body)


def data_row(values):
    body = struct.pack(">H", len(values))
    for value in values:
        body += (struct.pack(">i", -1) if value is None
                 else struct.pack(">I", len(text(value))) + text(value))
    return message(b"D", body)


def complete(tag="SELECT 1"):
    return message(b"C", text(tag) + b"\0")


def rows(*values, names=None):
    """A whole result: description, rows, end; without the ReadyForQuery."""
    names = names or [f"c{i}" for i in range(len(values[0]) if values else 1)]
    return (row_description(names) + b"".join(data_row(row) for row in values)
            + complete(f"SELECT {len(values)}"))


def copy_begin(kind):
    """kind: b"H" out, b"G" in, b"W" both."""
    return message(kind, b"\0\0\0")


def copy_data(data):
    return message(b"d", data)


COPY_DONE = message(b"c")


def server_time(unix_us=None):
    moment = time.time_ns() // 1000 if unix_us is None else unix_us
    return struct.pack(">Q", (moment - PG_EPOCH_US) & (2**64 - 1))


def wal(lsn, data=b"", end=None, unix_us=None):
    end = lsn + len(data) if end is None else end
    return copy_data(b"w" + struct.pack(">QQ", lsn & (2**64 - 1), end & (2**64 - 1))
                     + server_time(unix_us) + data)


def keepalive(end, reply=0, unix_us=None):
    return copy_data(b"k" + struct.pack(">Q", end & (2**64 - 1)) + server_time(unix_us)
                     + bytes([reply]))


def lsn_text(lsn):
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def lsn_parse(words):
    high, _, low = words.partition("/")
    return (int(high, 16) << 32) | int(low, 16)


# Tar, as a base backup sends it.
def tar_header(name, size=0, kind=b"0", link=b"", mode=b"0000600\0", mtime=None, **odd):
    """One block. size and mtime may be bytes: the field as it stands."""
    size_field = size if isinstance(size, bytes) else b"%011o\0" % size
    mtime_field = mtime if isinstance(mtime, bytes) else b"%011o\0" % int(mtime or time.time())
    head = (text(name)[:100].ljust(100, b"\0") + mode + b"0000000\0" * 2
            + size_field.ljust(12, b"\0")[:12] + mtime_field.ljust(12, b"\0")[:12])
    tail = (kind + text(link)[:100].ljust(100, b"\0")
            + odd.get("magic", b"ustar\x0000").ljust(8, b"\0")
            + b"postgres".ljust(32, b"\0") * 2 + b"0000000\0" * 2
            + text(odd.get("prefix", b"")).ljust(155, b"\0") + b"\0" * 12)
    total = sum(head) + sum(tail) + 8 * 32
    return head + odd.get("checksum", b"%06o\0 " % total) + tail


def tar_member(name, data=b"", kind=b"0", **odd):
    odd.setdefault("size", len(data))
    return tar_header(name, kind=kind, **odd) + data + b"\0" * (-len(data) % 512)


TAR_END = b"\0" * 1024


def read_exactly(peer, count):
    parts = []
    while count:
        part = peer.recv(min(count, 1 << 20))
        if not part:
            raise ConnectionError("closed")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def read_message(peer):
    head = read_exactly(peer, 5)
    return head[:1], read_exactly(peer, struct.unpack(">I", head[1:])[0] - 4)


def read_startup(peer):
    """(code, rest) of a message without a type."""
    length, code = struct.unpack(">II", read_exactly(peer, 8))
    return code, read_exactly(peer, length - 8)


def startup(**parameters):
    body = b"".join(text(name) + b"\0" + text(value) + b"\0"
                    for name, value in parameters.items()) + b"\0"
    return struct.pack(">II", len(body) + 8, PROTOCOL) + body


def ask(path, sql, user="postgres"):
    """First value of a query to a server that trusts us on its UNIX socket."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(20)
        peer.connect(path)
        peer.sendall(startup(user=user, database="postgres"))
        value, asked = None, False
        while True:
            kind, body = read_message(peer)
            if kind == b"E":
                raise AssertionError(body.decode(errors="replace"))
            if kind == b"D" and value is None:
                size = struct.unpack(">i", body[2:6])[0]
                value = body[6:6 + size].decode() if size >= 0 else None
            if kind == b"Z" and asked:
                return value
            if kind == b"Z":
                peer.sendall(message(b"Q", text(sql) + b"\0"))
                asked = True


# The server's half of passwords.
def md5_answer(user, password, salt):
    inner = hashlib.md5((password + user).encode()).hexdigest().encode()
    return b"md5" + hashlib.md5(inner + salt).hexdigest().encode()


class Scram:
    """SCRAM-SHA-256 for one password, without channel binding."""

    def __init__(self, password, iterations=4096):
        self.password, self.iterations, self.salt = password.encode(), iterations, os.urandom(16)

    def first(self, initial):
        """server-first for the client's first message."""
        self.client_first = initial[initial.index(b"n="):]
        self.nonce = self.client_first.split(b"r=")[1] + base64.b64encode(os.urandom(12))
        self.server_first = b"r=%s,s=%s,i=%d" % (self.nonce, base64.b64encode(self.salt),
                                                 self.iterations)
        return self.server_first

    def final(self, answer):
        """server-final, or None when the password is wrong."""
        bare, _, proof = answer.rpartition(b",p=")
        salted = hashlib.pbkdf2_hmac("sha256", self.password, self.salt, self.iterations)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        signed = b",".join([self.client_first, self.server_first, bare])
        signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        if bytes(a ^ b for a, b in zip(client_key, signature)) != base64.b64decode(proof):
            return None
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        return b"v=" + base64.b64encode(hmac.digest(server_key, signed, "sha256"))
