#!/usr/bin/python3
"""Limits of size: function 60 lines, nesting 3, .c file 600, header 260, line 100 columns.

Counts by layout, which clang-format guarantees: a function body is what stands between `{` and
`}` in column 0, and a nested block begins with if, for, while, do, else or switch and ends its
line with `{`. Corpora, vectors and generated files are not C sources and are not seen.
"""

import re
import sys

import sources

MAX_FUNCTION = 60
MAX_FILE = {".c": 600, ".h": 260}
MAX_COLUMNS = 100
MAX_NESTING = 3
INDENT = 4
BLOCK = re.compile(r"^( +)(?:\} else|if|for|while|do|switch|\w*foreach\w*|HASH_ITER)\b")


def functions(lines):
    """(first line, length) of every block that begins and ends in column 0."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif start is not None and line.startswith("}"):
            yield start, number - start + 1
            start = None


def nesting(lines):
    """(line, depth) of the first line of every control block, by the blocks that enclose it."""
    open_at = []
    for number, line in enumerate(lines, 1):
        match = BLOCK.match(line)
        if not match:
            continue
        indent = len(match.group(1))
        while open_at and open_at[-1] >= indent:
            open_at.pop()
        open_at.append(indent)
        if indent % INDENT == 0:
            yield number, len(open_at)


def check_file(path):
    lines = (sources.text_of(path) or "").split("\n")
    limit = MAX_FILE[path[-2:]]
    if len(lines) - 1 > limit:
        yield f"{path}:1: {len(lines) - 1} lines, at most {limit}: split it by noun"
    for start, length in functions(lines):
        if length > MAX_FUNCTION:
            yield f"{path}:{start}: function of {length} lines, at most {MAX_FUNCTION}"
    for number, depth in nesting(lines):
        if depth > MAX_NESTING:
            yield f"{path}:{number}: nesting {depth}, at most {MAX_NESTING}"
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_COLUMNS:
            yield f"{path}:{number}: {len(line)} columns, at most {MAX_COLUMNS}"


def main():
    problems = [problem for path in sources.tracked(".c", ".h") for problem in check_file(path)]
    return sources.report("sizes", problems)


if __name__ == "__main__":
    sys.exit(main())
