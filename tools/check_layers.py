#!/usr/bin/python3
"""Checks every #include against the matrix in tools/layers.txt.

A header is ours when its path exists below libs/, services/, proto/ or the root; else it is foreign, and a foreign
header that a row names may be used only in the folders of that row.
"""

import os
import re
import sys

import sources

TABLE = os.path.join("tools", "layers.txt")
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.MULTILINE)


def load_table():
    groups, layers, foreign = {}, {}, []
    for line in sources.text_of(TABLE).splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        kind, rest = line.split(None, 1)
        head, _, tail = rest.rpartition(":")
        names = [folder for name in tail.split() for folder in groups.get(name, [name])]
        if kind == "group":
            groups[head] = names
        elif kind == "layer":
            layers[head] = names
        elif kind == "foreign":
            foreign.append((re.compile(head), names))
        else:
            sys.exit(f"{TABLE}: unknown kind '{kind}'")
    return layers, foreign


def is_below(path, folder):
    return path == folder or path.startswith(folder + "/")


def layer_of(path, layers):
    found = [folder for folder in layers if is_below(path, folder)]
    return max(found, key=len) if found else None


def resolve(path, name):
    """The repository path that an include means, None for a foreign header."""
    for candidate in (os.path.join("libs", name), os.path.join("services", name), name,
                      os.path.join("proto", name), os.path.join(os.path.dirname(path), name)):
        if os.path.isfile(os.path.join(sources.ROOT, candidate)):
            return os.path.normpath(candidate)
    return None


def check_own(path, target, layer, layers):
    if is_below(target, layer):
        return None
    if any(is_below(target, folder) for folder in layers[layer]):
        return None
    return f"{layer} may not include {layer_of(target, layers) or target}"


def check_foreign(path, name, foreign):
    """A unit test may use what the folder that it tests may use."""
    places = (path, path.removeprefix("tests/unit/"))
    for pattern, folders in foreign:
        if pattern.search(name) and not any(is_below(place, folder)
                                            for place in places for folder in folders):
            return f"<{name}> belongs to {', '.join(folders)} only"
    return None


def check_file(path, layers, foreign):
    layer = layer_of(path, layers)
    if layer is None:
        yield f"{path}:1: no row of {TABLE} covers this folder"
        return
    text = sources.text_of(path) or ""
    for match in INCLUDE.finditer(text):
        target = resolve(path, match.group(2))
        problem = (check_own(path, target, layer, layers) if target
                   else check_foreign(path, match.group(2), foreign))
        if problem:
            line = text.count("\n", 0, match.start()) + 1
            yield f"{path}:{line}: {problem}"


def main():
    layers, foreign = load_table()
    problems = [problem for path in sources.tracked(".c", ".h")
                for problem in check_file(path, layers, foreign)]
    return sources.report("include matrix", problems)


if __name__ == "__main__":
    sys.exit(main())
