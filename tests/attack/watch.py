"""What must hold while somebody attacks: the process, its memory, its texts, others' calls."""

import json
import os
import subprocess
import sys
import threading
import unicodedata

import record
from support import proc

HERE = os.path.dirname(os.path.abspath(__file__))
TEXT_MAX = 8192
BIDI = {chr(code) for code in (*range(0x200b, 0x2010), *range(0x202a, 0x202f),
                               *range(0x2060, 0x206a), 0x61c, 0xfeff)}


def unclean(text):
    """Why a text should not be shown as it is, or "". It is UTF-8 already, or it had not come."""
    bad = sorted({f"U+{ord(c):04X}" for c in text
                  if unicodedata.category(c) in ("Cc", "Cs") or c in BIDI})
    if bad:
        return f"characters {' '.join(bad)} in {text[:200]!r}"
    return f"{len(text)} characters" if len(text) > TEXT_MAX else ""


def texts_of(message):
    """Every text of a protobuf message."""
    for field, value in message.ListFields():
        for item in value if field.label == field.LABEL_REPEATED else [value]:
            if field.type == field.TYPE_STRING:
                yield item
            elif field.type == field.TYPE_MESSAGE:
                yield from texts_of(item)


class Process:
    """The service: that it is the same one, and how large it became."""

    def __init__(self, house):
        self.house = house
        self.crashes = 0
        self.lock = threading.Lock()
        self.pid = house.note_processes()["backup"]
        self.base = self.field("VmRSS")
        self.high = self.base

    def field(self, name):
        """Bytes of a line of /proc/PID/status; 0 when it is gone."""
        try:
            with open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as file:
                return next((int(line.split()[1]) * 1024 for line in file
                             if line.startswith(name + ":")), 0)
        except (OSError, ValueError):
            return 0

    def reset_high(self):
        try:
            with open(f"/proc/{self.pid}/clear_refs", "w", encoding="ascii") as file:
                file.write("5")
        except OSError:
            pass

    def note_memory(self):
        self.high = max(self.high, self.field("VmHWM"))
        return self.high

    def is_same(self):
        """Whether it still runs; else the new one is looked for, and that is a crash."""
        with self.lock:
            if proc.is_alive(self.pid):
                return True
            self.crashes += 1
            proc.wait_until(self.find_next, timeout=90, what="the service comes back")
            return False

    def find_next(self):
        said = self.house.run("info", "-o", "json", check=False).stdout
        running = {item["name"]: item["pid"] for item in json.loads(said or "{}").get(
            "processes", []) if item["running"]}
        pid = int(running.get("backup", 0))
        if pid in (0, self.pid) or not proc.is_alive(pid):
            return False
        self.pid = pid
        return True


class Neighbour:
    """Another tenant's client in a process of its own, which measures its calls."""

    def __init__(self, endpoint, certs, cluster):
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "neighbour.py"), endpoint, certs, cluster],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def stop(self):
        """{"calls", "errors", "p50_ms", "p99_ms", "max_ms"}"""
        out = self.process.communicate("", timeout=60)[0]
        return json.loads(out)


def latency_limit_ms():
    """p99 of others while one lies: the promise where it is measured, else what a busy machine does."""
    return 100 if record.is_long() and not record.is_sanitized() else 1000
