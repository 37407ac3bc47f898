"""Below gRPC: HTTP/2 and TLS as no library speaks them, by a client whose certificate is right.
After each the service is the same process and answers an honest call at once.
"""

import contextlib
import gzip
import random
import socket
import struct
import time

import pytest

import raw_http2 as h2
import record
from support import proc
from support.grpc import Grpcurl

GET = b"/holdfast.backup.v1.BackupService/ListClusters"
WATCH = b"/holdfast.jobs.v1.JobService/WatchJob"
HONEST = b"\x0a\x0ftenants/default"
ANSWER_SECONDS = 10
GROWTH_KB = (1024 if record.is_sanitized() else 96) * 1024
BOMB = gzip.compress(bytes(64 << 20))


@pytest.fixture(scope="module")
def house(attacked):
    attacked.house.note_processes()
    return attacked.house


@pytest.fixture(scope="module")
def grpcurl(house):
    return Grpcurl(house.endpoint(), house.certs())


def rss_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("VmRSS")).split()[1])


@contextlib.contextmanager
def unharmed(house, grpcurl, what):
    before, pid = rss_kb(house.pids["backup"]), house.pids["backup"]
    yield
    began = time.monotonic()
    reply = grpcurl("holdfast.backup.v1.BackupService/ListClusters", {"parent": "tenants/default"})
    assert reply.code == "OK", f"{what}: {reply.stderr}"
    assert time.monotonic() - began < ANSWER_SECONDS, what
    assert proc.is_alive(pid) and house.note_processes()["backup"] == pid, what
    assert rss_kb(pid) - before < GROWTH_KB, what


def one_call(block, body=h2.message(HONEST)):
    return lambda wire: wire.greet().call(1, block, body)


def timeout(text):
    return one_call(h2.request(GET, extra=[(b"grpc-timeout", text)]))


def reset_rapidly(wire):
    wire.greet()
    for i in range(3000):
        stream = 2 * i + 1
        wire.send(h2.frame(h2.HEADERS, h2.END_HEADERS, stream, h2.request(GET)) +
                  h2.frame(h2.RST, 0, stream, struct.pack(">I", 8)))


def flood(*frames, count=5000):
    def act(wire):
        wire.greet()
        for _ in range(count // 100):
            wire.send(b"".join(frames) * 100)
    return act


def never_read(wire):
    wire.greet()
    for i in range(300):
        wire.call(2 * i + 1, h2.request(GET), h2.message(HONEST))


def watch_for_ever(wire):
    wire.greet()
    for i in range(300):
        wire.call(2 * i + 1, h2.request(WATCH), h2.message(b"\x0a\x01x"))


ATTACKS = {
    "no preface": lambda wire: wire.send(b"\0" * 4096),
    "HTTP/1.1": lambda wire: wire.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 100),
    "noise": lambda wire: wire.greet().send(bytes(range(256)) * 64),
    "another content type": one_call(h2.request(GET, kind=b"application/json")),
    "no content type": one_call(h2.request(GET, kind=None)),
    "GET": one_call(h2.request(GET, method=b"GET")),
    "no path": one_call(h2.request(b"")),
    "a path of 16 KiB": one_call(h2.request(b"/" + b"a" * 16000)),
    "a path that is no text": one_call(h2.request(b"/\xff\xfe\0/%00")),
    "a tenant that is no text": one_call(h2.request(GET, extra=[
        (b"x-holdfast-tenant", b"\xff\xfe\xc0\x80")])),
    "two tenants": one_call(h2.request(GET, extra=[
        (b"x-holdfast-tenant", b"default"), (b"x-holdfast-tenant", b"other")])),
    "capital header": one_call(h2.request(GET, extra=[(b"X-Holdfast-Tenant", b"default")])),
    "1,500 headers": one_call(h2.request(GET, extra=[(b"a", b"b")] * 1500)),
    "a deadline of years": timeout(b"99999999H"), "a deadline of 0": timeout(b"0n"),
    "a negative deadline": timeout(b"-1S"), "a deadline of words": timeout(b"soon"),
    "a deadline without end": timeout(b"9" * 4000 + b"H"),
    "a length that lies": one_call(h2.request(GET), h2.message(HONEST, length=2**32 - 1)),
    "a length that is short": one_call(h2.request(GET), h2.message(HONEST, length=3)),
    "two messages": one_call(h2.request(GET), h2.message(HONEST) * 2),
    "no message": one_call(h2.request(GET), b""),
    "half a frame head": one_call(h2.request(GET), b"\0\0"),
    "a bomb": one_call(h2.request(GET, extra=[(b"grpc-encoding", b"gzip")]),
                       h2.message(BOMB[:16000], flag=1)),
    "compressed by nobody": one_call(h2.request(GET, extra=[(b"grpc-encoding", b"x")]),
                                     h2.message(HONEST, flag=1)),
    "flag 255": one_call(h2.request(GET), h2.message(HONEST, flag=255)),
    "reserved stream": lambda wire: wire.greet().call(0, h2.request(GET)),
    "even stream": lambda wire: wire.greet().call(2, h2.request(GET)),
    "stream 2^31-1": lambda wire: wire.greet().call(2**31 - 1, h2.request(GET),
                                                    h2.message(HONEST)),
    "HPACK index 2^60": lambda wire: wire.greet().call(1, b"\xff" * 10),
    "table of 2^31": lambda wire: wire.greet().send(h2.frame(h2.SETTINGS, 0, 0, struct.pack(
        ">HI", 1, 2**31))).call(1, h2.number(2**31, 5, 0x20) + h2.request(GET)),
    "window over its end": lambda wire: wire.greet().send(h2.frame(
        h2.WINDOW, 0, 0, struct.pack(">I", 2**31 - 1)) * 4),
    "CONTINUATION without end": lambda wire: wire.greet().send(h2.frame(
        h2.HEADERS, 0, 1, h2.request(GET)) + h2.frame(
            h2.CONTINUATION, 0, 1, h2.header(b"a", b"b" * 1000)) * 2000),
    "rapid reset": reset_rapidly,
    "a flood of pings": flood(h2.frame(h2.PING, 0, 0, b"12345678")),
    "a flood of settings": flood(h2.frame(h2.SETTINGS, 0, 0)),
    "a flood of empty data": flood(h2.frame(h2.HEADERS, h2.END_HEADERS, 1, h2.request(GET)),
                                   h2.frame(h2.DATA, 0, 1), count=2000),
    "calls that nobody reads": never_read,
    "streams that nobody reads": watch_for_ever,
}


CHOSEN = sorted(ATTACKS) if record.is_long() else random.Random(7).sample(sorted(ATTACKS), 14)


@pytest.mark.parametrize("what", CHOSEN)
def test_wire__is_answered_or_cut(house, grpcurl, attempts, what):
    with unharmed(house, grpcurl, what):
        wire = h2.Connection(house.endpoint(), house.certs())
        try:
            ATTACKS[what](wire)
            wire.hear(1)
        finally:
            wire.close()
    attempts.add("wire", "HTTP/2", what, "answered or cut; others go on", True)


def test_wire__half_open_connections_keep_nobody_out(house, grpcurl, attempts):
    host, port = house.endpoint().rsplit(":", 1)
    with contextlib.ExitStack() as stack:
        for i in range(200):
            one = stack.enter_context(socket.create_connection((host, int(port)), timeout=5))
            if i % 2:
                one.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[:1 + i % 11])
        with unharmed(house, grpcurl, "200 half-open connections"):
            pass
    attempts.add("wire", "TLS", "200 connections that never finish", "others go on", True)
