"""What the documents and the messages tell a reader to type exists: commands, flags, make's verbs."""

import glob
import os
import re

import pytest

from support import proc

pytestmark = pytest.mark.no_asan

DOCUMENTS = ["README.md", "ARCHITECTURE.md", "docs/*.md", "*/README.md", "*/*/README.md"]
BLOCK = re.compile(r"^( *)```.*?\n(.*?)^\1```", re.M | re.S)
INLINE = re.compile(r"`(holdfast [^`]+)`")
STRING_JOINT = re.compile(r'"\s*\n\s*"')


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def documents():
    found = {path for pattern in DOCUMENTS
             for path in glob.glob(os.path.join(proc.ROOT, pattern))
             if not os.path.relpath(path, proc.ROOT).startswith("build")}
    assert os.path.join(proc.ROOT, "README.md") in found
    return sorted(found)


def commands_of_text(text):
    """Command lines of a document: in code blocks at the start of a line, inline in backticks."""
    found = [line.strip() for _, body in BLOCK.findall(text) for line in body.splitlines()
             if re.match(r"\s*(\$ )?holdfast [a-z]", line)]
    return [line.removeprefix("$ ") for line in found] + INLINE.findall(text)


def commands_of_sources():
    """Command lines that messages name in backticks: adjacent string literals are one."""
    for folder in ("services", "libs"):
        for parent, _, names in os.walk(os.path.join(proc.ROOT, folder)):
            for name in names:
                if name.endswith((".c", ".h")):
                    text = STRING_JOINT.sub("", read(os.path.join(parent, name)))
                    for line in INLINE.findall(text):
                        yield re.sub(r"(?<=[a-z])%s", "", line)  # options that are repeated


class Help:
    """The command table as --help tells it."""

    def __init__(self, program):
        self.program, self.known = program, {}
        text = proc.run([program, "--help"]).stdout
        table = text.split("commands:")[1].split("exit codes:")[0]
        self.commands = [re.split(r" {2,}|(?= [A-Z\[])", line.strip())[0]
                         for line in table.strip().splitlines()]

    def of(self, command):
        if command not in self.known:
            self.known[command] = proc.run([self.program, *command.split(), "--help"]).stdout
        return self.known[command]

    def mistake(self, line):
        """What is wrong with a command line, or None."""
        words = line.split("#")[0].split()[1:]
        if not words or words[0].startswith(("-", "…", "COMMAND", "%")):
            return None
        command = next((name for name in sorted(self.commands, key=len, reverse=True)
                        if words[:len(name.split())] == name.split()), None)
        if command is None:
            group = any(name.split()[0] == words[0] for name in self.commands)
            return None if group and len(words) == 1 else f"no such command: {line}"
        for flag in re.findall(r"(?<!\S)(--[a-z][a-z-]*)", line.split("#")[0]):
            if not re.search(rf"^ +{flag}\b", self.of(command), re.M):
                return f"no such flag {flag}: {line}"
        return None


@pytest.fixture(scope="module")
def help_of(programs):
    return Help(os.path.join(programs, "holdfast"))


def test_help__lists_the_commands_and_each_has_its_own(help_of):
    assert {"up", "down", "cluster add", "backup create", "restore", "wal fetch"} <= set(
        help_of.commands)
    for command in help_of.commands:
        assert help_of.of(command).startswith(f"usage: holdfast {command}")


def test_documents__name_commands_and_flags_that_exist(help_of):
    lines = {(os.path.relpath(path, proc.ROOT), line) for path in documents()
             for line in commands_of_text(read(path))}
    assert len([line for path, line in lines if path == "README.md"]) > 15
    assert [found for path, line in sorted(lines) if (found := help_of.mistake(line))] == []


def test_messages__name_commands_and_flags_that_exist(help_of):
    lines = set(commands_of_sources())
    assert len(lines) > 8
    assert [found for line in sorted(lines) if (found := help_of.mistake(line))] == []


@pytest.mark.parametrize("line, wrong", [
    ("holdfast restore orders --too /x", "--too"), ("holdfast backup make orders", "backup make"),
    ("holdfast backup create orders --wait  # --no-such in a comment", None),
    ("holdfast up --dir /x", None)])
def test_documents__mistakes_would_be_found(help_of, line, wrong):
    found = help_of.mistake(line)
    assert (wrong in found) if wrong else found is None


def test_make_help__lists_every_verb():
    makefile = read(os.path.join(proc.ROOT, "Makefile"))
    verbs = set(re.search(r"^\.PHONY:(.*)$", makefile, re.M).group(1).split())
    listed = set(re.findall(r"^  make ([a-z]+) +\S", proc.run(["make", "-C", proc.ROOT,
                                                               "help"]).stdout, re.M))
    assert listed == verbs and {"demo", "test", "check", "lint", "bench", "install"} <= verbs
    for path in documents():
        text = read(path)
        blocks = "\n".join(body for _, body in BLOCK.findall(text))
        told = set(re.findall(r"`make ([a-z]+)", text)) | set(
            re.findall(r"^(?:    )?make ([a-z]+)", blocks + "\n" + text, re.M))
        assert told <= verbs, f"{path}: make {told - verbs}"
