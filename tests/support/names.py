"""A DNS server whose answers change, and commands that ask it and nobody else."""

import contextlib
import os
import random
import socket
import struct
import threading


A, IN = 1, 1


class Names(threading.Thread):
    """answers: name → IPv4 addresses, changed at any time; asked: the names, one by one.

    Listens on port 53, which is the only one that resolv.conf knows, of an address of 127/8 of its
    own. `prefix` runs a command that has that resolv.conf; both need root.
    """

    def __init__(self, folder, **answers):
        super().__init__(daemon=True)
        self.answers, self.asked = answers, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        address = f"127.{random.randint(64, 191)}.{random.randint(1, 254)}.53"
        self.socket.bind((address, 53))
        path = os.path.join(folder, "resolv.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write(f"nameserver {address}\noptions timeout:1 attempts:2\n")
        os.chmod(path, 0o644)
        self.prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                       f'mount --bind {path} /etc/resolv.conf && exec "$@"', "sh"]
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                question, peer = self.socket.recvfrom(4096)
                if question:
                    self.socket.sendto(self.answer(question), peer)

    def answer(self, question):
        """One question, uncompressed, as resolvers send it."""
        at, labels = 12, []
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode("ascii", "replace"))
            at += 1 + question[at]
        kind = struct.unpack_from(">H", question, at + 1)[0]
        name = ".".join(labels).lower()
        self.asked.append(name)
        found = self.answers.get(name.replace(".", "_"), [])
        records = b"".join(struct.pack(">HHHIH", 0xC00C, A, IN, 0, 4) + socket.inet_aton(address)
                           for address in found if kind == A)
        flags = 0x8180 if found else 0x8183
        return (question[:2] + struct.pack(">HHHHH", flags, 1, len(records) // 16, 0, 0)
                + question[12:at + 5] + records)

    def close(self):
        # A thread in recvfrom keeps a closed socket alive: wake it first.
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
