"""HTTP/2 frames as bytes, over TLS with a client's certificate: what no library would send."""

import os
import socket
import ssl
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(
        ">I", stream) + payload


def number(value, bits, first):
    """An HPACK integer with a prefix of some bits."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([first | value])
    out, value = bytearray([first | limit]), value - limit
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def header(name, value):
    """Literal, never indexed, no Huffman code: any bytes."""
    return b"\x10" + number(len(name), 7, 0) + name + number(len(value), 7, 0) + value


def message(body, *, flag=0, length=None):
    """gRPC's frame around a message."""
    return bytes([flag]) + struct.pack(">I", len(body) if length is None else length) + body


def request(path, *, method=b"POST", kind=b"application/grpc", extra=()):
    """The header block of a call."""
    rows = [(b":method", method), (b":scheme", b"https"), (b":path", path),
            (b":authority", b"localhost"), (b"te", b"trailers")]
    if kind is not None:
        rows.append((b"content-type", kind))
    return b"".join(header(name, value) for name, value in [*rows, *extra])


class Connection:
    """One TLS connection; send() takes frames, ends without a word when the server has closed."""

    def __init__(self, endpoint, certs, *, alpn=("h2",), timeout=5):
        context = ssl.create_default_context(cafile=os.path.join(certs, "ca.crt"))
        context.load_cert_chain(os.path.join(certs, "tls.crt"), os.path.join(certs, "tls.key"))
        context.set_alpn_protocols(list(alpn))
        host, port = endpoint.rsplit(":", 1)
        plain = socket.create_connection((host, int(port)), timeout=timeout)
        self.socket = context.wrap_socket(plain, server_hostname="localhost")
        self.is_open = True

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            self.is_open = False
        return self

    def greet(self):
        return self.send(PREFACE + frame(SETTINGS, 0, 0))

    def call(self, stream, block, body=b""):
        """Headers, then the body; both end the stream."""
        self.send(frame(HEADERS, END_HEADERS, stream, block))
        return self.send(frame(DATA, END_STREAM, stream, body))

    def hear(self, seconds=2):
        """What the server sends until it is silent or gone."""
        self.socket.settimeout(seconds)
        heard = b""
        try:
            while len(heard) < 1 << 20:
                piece = self.socket.recv(65536)
                if not piece:
                    break
                heard += piece
                self.socket.settimeout(0.2)
        except OSError:
            pass
        return heard

    def close(self):
        self.socket.close()
