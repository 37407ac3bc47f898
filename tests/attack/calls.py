"""Hostile calls made from the service's own description: each method × each field × its extremes.

A value is appended to an honest request as bytes: of a scalar the last one counts, a message is
merged, so that nothing needs to be taken out, and what no library would write can be written.
"""

import random

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
IS_STREAM, IS_CANCELLED, BEGINS_WORK, IS_ONCE = 1, 2, 4, 8
DEPTH_MAX = 4
TYPES = {"double": 1, "float": 2, "int64": 3, "uint64": 4, "int32": 5, "bool": 8, "string": 9,
         "message": 11, "bytes": 12, "uint32": 13, "enum": 14}


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, kind, payload):
    """One field as it stands on the wire."""
    head = varint(number << 3 | kind)
    return head + (varint(len(payload)) + payload if kind == BYTES else payload)


# Texts, by name: what the row of the record and a failing call are called.
TEXTS = {
    "empty": b"", "one": b"a", "40 letters": b"a" * 40, "41 letters": b"a" * 41,
    "128": b"a" * 128, "129": b"a" * 129, "1 KiB": b"a" * 1024, "64 KiB": b"a" * 65536,
    "NUL": b"a\0b", "invalid UTF-8": b"a\xff\xfe\x80b", "lone surrogate": b"\xed\xa0\x80",
    "overlong slash": b"..\xc0\xaf..", "beyond Unicode": b"\xf4\x90\x80\x80",
    "cut character": b"a\xe2\x82", "UTF-16": "orders".encode("utf-16"),
    "dots": b"..", "path": b"../../../../etc/passwd", "absolute": b"/etc/passwd",
    "percent": b"%2e%2e%2f%00", "format": b"%s%n%d%99999999s", "escape": b"\x1b[2J\x1b]0;x\x07",
    "C1": "\u009b31m".encode(), "bidi": "a\u202e\u2066b\u200f".encode(),
    "zero width": "a\u200b\u200d\ufeffb".encode(), "newlines": b"a\r\nb\nc", "tab": b"a\tb",
    "quotes": b"'\"`;--", "SQL": b"x'; drop table backup.clusters; --", "upper": b"ORDERS",
    "mixed": b"OrDeRs", "combining": ("a" + "\u0301" * 2000).encode(), "emoji": "😀".encode() * 50,
    "Turkish": "ORDERS\u0130\u0131".encode(), "full width": "ｏｒｄｅｒｓ".encode(),
    "dash": b"-", "blank": b" ", "number": b"18446744073709551616", "minus": b"-1",
    "lsn": b"FFFFFFFF/FFFFFFFF", "lsn too long": b"FFFFFFFFF/0", "time": b"11476-01-01T00:00:00Z",
    "year 0": b"0000-00-00T00:00:00Z", "JSON": b'{"a":[[[[[[[[]]]]]]]]}', "spaces": b" " * 3000,
}
INTS = {"0": 0, "1": 1, "-1": -1, "2^31-1": 2**31 - 1, "-2^31": -2**31, "2^31": 2**31,
        "2^32": 2**32, "2^63-1": 2**63 - 1, "-2^63": -2**63, "99": 99, "1 << 53": 1 << 53}
SECONDS = {"year 0": -62135596801, "year 1": -62135596800, "year 9999": 253402300799,
           "year 10000": 253402300800, "year 11476": 300000000000, "year 292277": 9223372036854,
           "2^63-1": 2**63 - 1, "-2^63": -2**63, "now": 1764000000}
NANOS = {"-1": -1, "10^9": 10**9, "2^31-1": 2**31 - 1, "-2^31": -2**31}


def of_time(number):
    for name, seconds in SECONDS.items():
        yield name, field(number, BYTES, field(1, VARINT, varint(seconds)))
    for name, nanos in NANOS.items():
        yield f"{name} ns", field(number, BYTES, field(1, VARINT, varint(1764000000)) +
                                  field(2, VARINT, varint(nanos)))


def of_scalar(item):
    """(name, bytes of the field) for each extreme of its type."""
    number = item.number
    if item.type in (TYPES["string"], TYPES["bytes"]):
        for name, value in TEXTS.items():
            yield name, field(number, BYTES, value)
    elif item.type in (TYPES["double"], TYPES["float"]):
        for name, value in {"NaN": b"\0\0\0\0\0\0\xf8\x7f", "inf": b"\0\0\0\0\0\0\xf0\x7f",
                            "max": b"\xff" * 6 + b"\xef\x7f"}.items():
            yield name, field(number, FIXED64, value)
    elif item.type != TYPES["message"]:
        for name, value in INTS.items():
            yield name, field(number, VARINT, varint(value))
    if item.label == item.LABEL_REPEATED and item.type == TYPES["string"]:
        yield "10,000 times", field(number, BYTES, b"x") * 10000


def of_wire(number):
    """What no type says: framing."""
    yield "another wire type", field(number, FIXED64, b"\xff" * 8)
    yield "fixed 32", field(number, FIXED32, b"\xff" * 4)
    yield "group", varint(number << 3 | 3) * 50
    yield "length lies", varint(number << 3 | BYTES) + varint(2**31) + b"a"
    yield "length is 2^63", varint(number << 3 | BYTES) + varint(2**63) + b"a"
    yield "cut", varint(number << 3 | BYTES) + b"\x05abc"
    yield "varint without end", varint(number << 3) + b"\xff" * 11


def extremes(descriptor, depth=0):
    """(field's path, name of the value, bytes) of a message and of what is inside it."""
    for item in descriptor.fields:
        if item.type != TYPES["message"]:
            for name, value in [*of_scalar(item), *(of_wire(item.number) if depth == 0 else [])]:
                yield item.name, name, value
            continue
        if item.message_type.full_name in ("google.protobuf.Timestamp",
                                           "google.protobuf.Duration"):
            for name, value in of_time(item.number):
                yield item.name, name, value
            continue
        yield item.name, "empty message", field(item.number, BYTES, b"")
        yield item.name, "is no message", field(item.number, BYTES, b"\xff\xff\xff")
        if depth < DEPTH_MAX:
            for path, name, value in extremes(item.message_type, depth + 1):
                yield f"{item.name}.{path}", name, field(item.number, BYTES, value)


def nested(depth):
    """A message inside itself, as unknown fields are skipped."""
    value = b""
    for _ in range(depth):
        value = field(100, BYTES, value)
    return value


WHOLE = {
    "nothing": b"", "one byte": b"\xff", "zeros": b"\0" * 1000, "noise": random.Random(1).randbytes(500),
    "1 MiB": field(1000, BYTES, b"x" * (1 << 20)), "deep": nested(1000),
    "50,000 unknown fields": field(100, VARINT, b"\1") * 50000, "field 0": b"\x02\x00",
}
# Values that gRPC lets a client send: printable, or of a key that ends in -bin.
METADATA = {
    "tenant in capitals": ("x-holdfast-tenant", b"DEFAULT"), "no such tenant": ("x-holdfast-tenant", b"nobody"),
    "empty tenant": ("x-holdfast-tenant", b""), "long tenant": ("x-holdfast-tenant", b"a" * 6000),
    "path as tenant": ("x-holdfast-tenant", b"../default"), "tenant with blanks": ("x-holdfast-tenant", b" default "),
    "percent tenant": ("x-holdfast-tenant", b"%64efault"), "SQL tenant": ("x-holdfast-tenant", b"' or 1=1 --"),
    "long request id": ("x-request-id", b"r" * 6000), "odd request id": ("x-request-id", b'"}\\n%s'),
    "binary": ("trace-bin", bytes(range(256))), "many bytes": ("trace-bin", b"\0" * 7000),
}
DEADLINES = {"0": 0, "1 ms": 1, "49 days": 2**32 - 1, "30 s": 30000}  # milliseconds


class Calls:
    """Prepared calls with their names, and the bytes that the loader reads."""

    def __init__(self):
        self.names, self.rows = [], []

    def add(self, name, path, body, *, flags=0, deadline_ms=30000, metadata=()):
        row = varint(len(path)) + path.encode() + bytes([flags]) + varint(deadline_ms)
        row += bytes([len(metadata)])
        for key, value in metadata:
            row += varint(len(key)) + key.encode() + varint(len(value)) + value
        self.names.append(name)
        self.rows.append(row + varint(len(body)) + body)

    def bytes(self):
        return varint(len(self.rows)) + b"".join(self.rows)


def add_method(calls, method, honest, *, is_stream, flags=0):
    """All extremes of one method. honest: a request that would be accepted, as bytes."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    flags |= IS_STREAM if is_stream else 0
    options = {"flags": flags, "deadline_ms": 1500 if is_stream else 30000}
    calls.add((method.name, "", "honest"), path, honest, **options)
    for where, what, value in extremes(method.input_type):
        calls.add((method.name, where, what), path, honest + value, **options)
    for what, value in WHOLE.items():
        calls.add((method.name, "request", what), path, value, **options)
        calls.add((method.name, "request", f"honest and {what}"), path, honest + value, **options)
    for what, value in METADATA.items():
        calls.add((method.name, "metadata", what), path, honest, metadata=[value],
                  **{**options, "flags": flags})
    for what, value in DEADLINES.items():
        calls.add((method.name, "deadline", what), path, honest, flags=flags,
                  deadline_ms=min(value, 2000) if is_stream else value)
    calls.add((method.name, "call", "cancelled"), path, honest, flags=flags | IS_CANCELLED)


def results(data):
    """What the loader wrote: (case, code, messages, text, details, first reply)."""
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                return value

    def text():
        nonlocal at
        length = number()
        at += length
        return data[at - length:at]

    while at < len(data):
        case, code, messages = number(), number(), number()
        yield case, code, messages, text(), text(), text()
