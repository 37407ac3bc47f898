"""The checks and the count of tests can fail: each is shown something that is wrong."""

import os
import shutil
import sys

import pytest

from support import proc

sys.path.insert(0, os.path.join(proc.ROOT, "tools"))
import run_tests  # noqa: E402  (a program, not a module of the tests)

pytestmark = pytest.mark.no_asan

CMOCKA = "[==========] Running 3 test(s).\n{}[  PASSED  ] {} test(s).\n"


@pytest.fixture
def tree(folder):
    """A copy of the tools in a repository of its own, to be made wrong."""
    shutil.copytree(os.path.join(proc.ROOT, "tools"), os.path.join(folder, "tools"))
    for name in ("libs/base", "libs/codec", "services/backup/domain"):
        os.makedirs(os.path.join(folder, name))
    proc.run(["git", "init", "-q"], cwd=folder)
    return folder


def write(tree, path, text):
    with open(os.path.join(tree, path), "w", encoding="utf-8") as file:
        file.write(text)


def check(tree, name):
    return proc.run(["/usr/bin/python3", os.path.join(tree, "tools", name)], check=False)


def test_layers__refuses_an_arrow_upwards(tree):
    write(tree, "libs/codec/hash.h", "")
    write(tree, "libs/base/up.c", '#include "codec/hash.h"\n')
    done = check(tree, "check_layers.py")
    assert done.returncode == 1 and "libs/base may not include libs/codec" in done.stdout


def test_layers__keeps_foreign_headers_in_their_folder(tree):
    write(tree, "services/backup/domain/plan.c", "#include <libpq-fe.h>\n")
    done = check(tree, "check_layers.py")
    assert done.returncode == 1 and "libpq-fe.h" in done.stdout


def test_layers__accepts_an_arrow_downwards(tree):
    write(tree, "libs/base/str.h", "")
    write(tree, "libs/codec/down.c", '#include "base/str.h"\n')
    assert check(tree, "check_layers.py").returncode == 0


@pytest.mark.parametrize("lines, code", [(58, 0), (60, 1)])
def test_sizes__limits_functions(tree, lines, code):
    write(tree, "libs/base/long.c", "int f(void)\n{\n" + "    f();\n" * lines + "}\n")
    assert check(tree, "check_sizes.py").returncode == code


def test_sizes__limits_nesting(tree):
    deep = "".join(" " * 4 * depth + "if (x) {\n" for depth in range(1, 5))
    write(tree, "libs/base/deep.c", "int f(void)\n{\n" + deep + "}\n")
    assert "nesting 4" in check(tree, "check_sizes.py").stdout


def test_layout__finds_a_key_and_unfinished_work(tree):
    begin = "-----BEGIN " + "PRIVATE KEY-----\n"
    write(tree, "libs/base/README.md", begin + "M" * 64 + "\nTO" + "DO\n")
    found = check(tree, "check_layout.py").stdout
    assert "a private key" in found and "unfinished work" in found


@pytest.mark.parametrize("code, text, want", [
    (0, CMOCKA.format("", 3), (3, 0, 0)),
    (1, CMOCKA.format("", 2) + "[  FAILED  ] 1 test(s), listed below:\n", (2, 1, 0)),
    (0, CMOCKA.format("", 2) + "[  SKIPPED ] 1 test(s), listed below:\n", (2, 0, 1)),
    (-11, "[==========] Running 3 test(s).\n[ RUN      ] a\n", (0, 1, 0)),
    (1, CMOCKA.format("", 3) + "ERROR: LeakSanitizer: detected memory leaks\n", (3, 1, 0)),
    (None, CMOCKA.format("", 3), (3, 1, 0)),
    (127, "not found", (0, 1, 0)),
    (0, "12 inputs replayed\n", (1, 0, 0)),
])
def test_run_tests__counts_what_a_program_says(code, text, want):
    tally = run_tests.judge_program("x", code, text, run_tests.LOGS)
    assert (tally.passed, tally.failed, tally.skipped) == want


def test_run_tests__counts_a_report_without_tests_as_failed(folder):
    tally = run_tests.pytest_suite("empty", folder, dict(os.environ), [])
    assert (tally.passed, tally.failed) == (0, 1)
