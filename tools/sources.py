"""The files of the repository, tracked or about to be: one list for every check."""

import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def tracked(*suffixes):
    """Paths relative to the root, sorted; all files without suffixes."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout.decode()
    paths = {path for path in listing.split("\0") if path}
    return sorted(path for path in paths
                  if (not suffixes or path.endswith(suffixes))
                  and os.path.isfile(os.path.join(ROOT, path)))


def text_of(path):
    """The text of a file, None when it is absent or not text."""
    if not os.path.isfile(os.path.join(ROOT, path)):
        return None
    with open(os.path.join(ROOT, path), "rb") as file:
        raw = file.read()
    if b"\0" in raw:
        return None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def report(title, problems):
    """Prints the problems; the exit code of the check."""
    for problem in problems:
        print(problem)
    if problems:
        print(f"{title}: {len(problems)} problems")
    return 1 if problems else 0
