"""What was tried and how it went: rows that tools/attack_table.py turns into docs/security.md."""

import os
import threading


def is_long():
    return os.environ.get("HOLDFAST_ATTACK", "short") == "long"


def is_sanitized():
    return bool(os.environ.get("HOLDFAST_SANITIZED"))


class Attempts:
    """Rows by (role, place, what); one failure of many tries makes the row a failure."""

    def __init__(self):
        self.lock = threading.Lock()
        self.found = {}
        self.figures = {}

    def add(self, role, place, what, expected, is_held=True):
        """role: who attacks; place: where; what: one attempt; expected: what one sees of it."""
        with self.lock:
            row = self.found.setdefault((role, place, what), {
                "role": role, "place": place, "what": what, "expected": expected, "held": True})
            row["held"] = row["held"] and bool(is_held)

    def figure(self, name, value):
        """What was measured: build/attack-figures.md, never the page of what holds."""
        with self.lock:
            self.figures[name] = {"figure": name, "value": value,
                                  "programs": "sanitized" if is_sanitized() else "release"}

    def rows(self):
        with self.lock:
            return [*self.found.values(), *self.figures.values()]
