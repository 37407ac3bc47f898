#!/usr/bin/env python3
"""Second implementation of docs/vault-format.md, from its text: writes vectors.txt.

    python3 reference.py > vectors.txt        (needs python3-cryptography)

The unit test vectors_test.c makes the same objects with the product's code and compares.
"""
import hashlib
import hmac
import struct

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey, X25519PublicKey)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
REALM = b"vector"
PREFIX = b"tenants/vector/sources/orders"


def run(start, count):
    return bytes((start + i) & 255 for i in range(count))


KEK, RK1, IDK, WK = run(0, 32), run(32, 32), run(64, 32), run(96, 32)
SIGNING, ESCROW, EPHEMERAL = run(128, 32), run(160, 32), run(192, 32)
PACK_ID, SALT = run(1, 16), run(224, 32)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def mac(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def expand(key, info, length=32):
    out, block, n = b"", b"", 0
    while len(out) < length:
        n += 1
        block = mac(key, block, info, bytes([n]))
        out += block
    return out[:length]


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return struct.pack(">I", crc ^ 0xFFFFFFFF)


def realm_tag():
    return sha256(b"holdfast/1 realm", REALM)[:16]


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def text(s):
    return varint(len(s)) + s


def pack(kind, number, blobs):
    """blobs: list of (type, plaintext)"""
    head = b"\x89HFPK\r\n\x1a" + struct.pack(">HBBI", 1, kind, 0, 1)
    head += realm_tag() + PACK_ID + struct.pack(">Q", number) + b"\x01\x01" + bytes(6)
    head += SALT + bytes(60)
    header_hash = sha256(head)
    secret = mac(SALT, RK1)
    enc = expand(secret, b"holdfast/1 pack enc" + header_hash)
    trailer_key = expand(secret, b"holdfast/1 pack trailer" + header_hash)
    head += expand(secret, b"holdfast/1 pack commitment" + header_hash)
    head += crc32c(head)
    out, entries, all_digests, pages = head, b"", b"", 0
    for i, (kind_of_blob, plain) in enumerate(blobs):
        digests = b""
        if kind_of_blob == 1:
            digests = b"".join(mac(IDK, plain[at:at + 8192])[:16]
                               for at in range(0, len(plain), 8192))
        blob_id = mac(IDK, bytes([kind_of_blob]), digests or plain)
        aad = struct.pack(">BBI", kind_of_blob, 0, len(plain)) + blob_id
        key = expand(enc, blob_id + b"\x00" + struct.pack(">Q", i))
        record = struct.pack(">IH", 44 + len(plain) + 16, len(digests) // 16) + aad
        record += AESGCM(key).encrypt(bytes(4) + struct.pack(">Q", i), plain, aad)
        entries += struct.pack(">BBQIII", kind_of_blob, 0, len(out), len(record), len(plain),
                               len(digests) // 16) + blob_id
        all_digests += digests
        pages += len(digests) // 16
        out += record
    trailer = struct.pack(">II", len(blobs), pages) + entries + all_digests
    total = struct.pack(">Q", len(out) + len(trailer) + 16 + 24)
    out += AESGCM(trailer_key).encrypt(bytes(12), trailer, total)
    return out + struct.pack(">II", len(trailer) + 16, 0) + total + b"\x89HFEND\r\n"


def slot(with_escrow):
    public = Ed25519PrivateKey.from_private_bytes(SIGNING).public_key().public_bytes(*RAW)
    plain = struct.pack(">I", 1) + RK1 + IDK + WK + struct.pack(">I", 1) + public
    head = b"\x89HFKEY\r\n" + struct.pack(">HHI", 1, 1 if with_escrow else 0, 1)
    head += expand(KEK, b"holdfast/1 kek id", 16) + realm_tag()
    head += struct.pack(">I", len(plain) + 16) + bytes(4)
    escrow = b""
    if with_escrow:
        kit = X25519PrivateKey.from_private_bytes(ESCROW).public_key().public_bytes(*RAW)
        eph = X25519PrivateKey.from_private_bytes(EPHEMERAL)
        eph_public = eph.public_key().public_bytes(*RAW)
        shared = eph.exchange(X25519PublicKey.from_public_bytes(kit))
        key = expand(mac(eph_public + kit, shared), b"holdfast/1 escrow")
        escrow = sha256(kit)[:16] + eph_public + AESGCM(key).encrypt(bytes(12), plain, head)
    siv = AESSIV(expand(KEK, b"holdfast/1 slot", 64))
    out = head + siv.encrypt(plain, [REALM, head] + ([escrow] if escrow else [])) + escrow
    return out + sha256(out)


def journal_entry():
    body = bytes([1, 1]) + varint(1) + varint(2 * 1700000000000000) + text(b"job-1")
    body += varint(3) + varint(42)
    body += text(b"orders") + text(b"7300000000000000001") + varint(150018) + varint(16777216)
    sealed = pack(4, 1, [(2, body)])
    key = Ed25519PrivateKey.from_private_bytes(SIGNING)
    out = b"\x89HFJRN\r\n" + struct.pack(">HHIQ", 1, 0, len(sealed), 1) + bytes(32)
    out += sha256(PREFIX) + sha256(key.public_key().public_bytes(*RAW))[:16] + bytes(4)
    out += crc32c(out) + sealed
    return out + key.sign(out)


def marker():
    out = (b"This is a Holdfast vault: sealed backups, see vault-format.md\nformat 1\n"
           b"vault 018bcfe5-6800-7abc-8def-0123456789ab\ncreated-us 1700000000000000\n")
    return out + b"sha256 " + sha256(out).hex().encode() + b"\n"


PAGES = b"".join(bytes((page + i) & 255 for i in range(8192)) for page in range(2))
DATA_PACK = pack(1, 9, [(1, PAGES), (2, b"hello, vault")])
VECTORS = {
    "page-digest": mac(IDK, PAGES[:8192])[:16],
    "path-key": mac(IDK, b"path", b"base/5/16384")[:16],
    "blob-id": mac(IDK, b"\x02", b"hello, vault"),
    "pack-header": DATA_PACK[:192],
    "pack-sha256": sha256(DATA_PACK),
    "slot": slot(False),
    "slot-escrow": slot(True),
    "journal-entry-sha256": sha256(journal_entry()),
    "marker-sha256": sha256(marker()),
}

if __name__ == "__main__":
    for name, value in VECTORS.items():
        print(name, value.hex())
