#!/usr/bin/python3
"""Structure and cleanliness: a README in every folder, fuzz targets with a row and a corpus,
no unfinished work, no secrets, no traces of one machine, words that C files may not contain."""

import os
import re
import sys

import sources

# Folders that need no README of their own because their parent's speaks for them.
COVERED = re.compile(
    r"^(proto/holdfast/.*|tests/unit/.*|tests/fuzz/corpus.*|tests/parts|\.ci|services/[^/]+/[^/]+"
    r"|.*/migrations|services|libs|tests/.*/(data|vectors|golden).*)$")

ANYWHERE = [
    (re.compile(r"\b(TODO|FIXME|XXX|HACK)\b"), "unfinished work"),
    (re.compile(r"\bnot (yet )?implemented\b", re.IGNORECASE), "unfinished work"),
    (re.compile(r"^(<<<<<<<|>>>>>>>) "), "conflict marker"),
    (re.compile(r"(?<![\w.}/])/(home|root|work|farm)/[a-z]"), "a path of one machine"),
    (re.compile(r"\b(AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,}|xox[abpr]-[\w-]{20,})\b"),
     "an access token"),
    (re.compile(r"(?i)\b(?:password|secret|token)\s*=\s*[\"'][A-Za-z0-9+/]{20,}[\"']"),
     "what looks like a secret"),
    (re.compile(r"[ \t]+$"), "white space at the end of the line"),
]
PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(\\n|[\s\"'])*[A-Za-z0-9+/]{40,}")
IN_C = [
    (re.compile(r"\bgoto\s+\w+\s*;"), "goto"),
    (re.compile(r"\btypedef\s+(struct|union|enum)\b[^(]*$"), "typedef of a struct, union or enum"),
    (re.compile(r"^\s*//"), "// comment: use /* */"),
    (re.compile(r"^#\s*if\s+0\b"), "code switched off"),
    (re.compile(r"\batomic_thread_fence\b"), "a bare fence"),
]
GUARD = re.compile(r"^#ifndef \w+_H\n#define \w+_H$", re.MULTILINE)
ANY_TEXT = (".c", ".h", ".py", ".sh", ".sql", ".proto", ".md", ".txt", ".cmake", ".yaml", ".yml",
            ".json", "Makefile", ".ci/run")
SELF = "tools/check_layout.py"


def readmes():
    paths = sources.tracked()
    folders = {os.path.dirname(path) for path in paths} - {""}
    for folder in sorted(folders):
        if not COVERED.match(folder) and f"{folder}/README.md" not in paths:
            yield f"{folder}/README.md: missing"
    for name in ("README.md", "ARCHITECTURE.md"):
        if name not in paths:
            yield f"{name}: missing"


def lines_against(path, rules):
    for number, line in enumerate((sources.text_of(path) or "").split("\n"), 1):
        for pattern, what in rules:
            if pattern.search(line):
                yield f"{path}:{number}: {what}"


def content():
    for path in sources.tracked(*ANY_TEXT):
        if path == SELF:
            continue
        text = sources.text_of(path) or ""
        if PRIVATE_KEY.search(text):
            yield f"{path}:1: a private key"
        yield from lines_against(path, ANYWHERE)
        if path.endswith((".c", ".h")):
            yield from lines_against(path, IN_C)
        if path.endswith(".h") and not GUARD.search(text):
            yield f"{path}:1: no include guard"


def fuzz_targets():
    table = sources.text_of("tests/fuzz/CMakeLists.txt") or ""
    rows = set(re.findall(r'^\s+"(\w+)\s+hf_', table, re.MULTILINE))
    found = {os.path.basename(path)[:-len("_fuzz.c")]
             for path in sources.tracked("_fuzz.c") if path.startswith("tests/fuzz/")}
    for name in sorted(found - rows):
        yield f"tests/fuzz/{name}_fuzz.c: no row in tests/fuzz/CMakeLists.txt"
    for name in sorted(rows - found):
        yield f"tests/fuzz/CMakeLists.txt: row '{name}' without tests/fuzz/{name}_fuzz.c"
    for name in sorted(found):
        folder = f"tests/fuzz/corpus/{name}/"
        if not any(path.startswith(folder) for path in sources.tracked()):
            yield f"{folder}: no input is kept"


def executables():
    for path in sources.tracked(".sh", ".py", ".ci/run"):
        text = sources.text_of(path) or ""
        if text.startswith("#!") and not os.access(os.path.join(sources.ROOT, path), os.X_OK):
            yield f"{path}:1: has a #! line but may not be executed (chmod +x)"


def main():
    problems = [*readmes(), *content(), *fuzz_targets(), *executables()]
    return sources.report("layout", problems)


if __name__ == "__main__":
    sys.exit(main())
