#!/usr/bin/python3
"""Runs every test and counts single tests, not programs; the last line is
`N passed, N failed, N skipped`.

    tools/run_tests.py [--only SUITE[,SUITE…]] [--list] [PYTEST-ARGUMENT…]

Suites, in order:
    unit              cmocka programs and fuzz corpora of the release build
    asan-unit         the same under AddressSanitizer and UndefinedBehaviorSanitizer
    integration       tests/integration (pytest, real servers) with the release programs
    asan-integration  the same with the sanitized programs, tests marked no_asan left out
    e2e               tests/e2e (pytest): the user's path with load, crashes and restores
    attack            tests/attack (pytest): a short round of hostile peers, or with
                      HOLDFAST_ATTACK=long (`make attack`) all of them
    asan-attack       the same with the sanitized programs

The last two run side by side when the round is short: they wait more than they compute.

A build that fails, a program that crashes or outlives its time, a sanitizer report and a suite
that finds no test each count as a failure. Logs are in build/test-logs/.
"""

import argparse
import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOGS = os.path.join(ROOT, "build", "test-logs")
PYTHON = "/usr/bin/python3"
IS_LONG = os.environ.get("HOLDFAST_ATTACK") == "long"
PYTEST_SECONDS = 3600 if IS_LONG else 1500
SIDE_BY_SIDE = ("attack", "asan-attack")  # not in the long round, which measures
BUILD_SECONDS = 1800
EXCERPT_LINES = 14
KILL_GRACE_SECONDS = 15
RUNNING = set()  # processes; a suite in a thread cannot end its own when somebody presses Ctrl-C

RAN = re.compile(r"^\[=+\] (?:.*: )?Running (\d+) test\(s\)", re.MULTILINE)
COUNTS = {
    "passed": re.compile(r"^\[  PASSED  \] (\d+) test\(s\)", re.MULTILINE),
    "failed": re.compile(r"^\[  FAILED  \] (?:.*: )?(\d+) test\(s\), listed", re.MULTILINE),
    "skipped": re.compile(r"^\[  SKIPPED \] (?:.*: )?(\d+) test\(s\), listed", re.MULTILINE),
}
TELLING = re.compile(r"error|fail|assert|sanitizer|leak|#\d+ 0x|crash", re.IGNORECASE)
NOISE = re.compile(r"^(\[\d+/\d+\] |ccache |FAILED: |ninja: )")
PYTEST_LINE = re.compile(r"::\S.*? (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b")


class Tally:
    """What a suite counted, and an excerpt per failure."""

    def __init__(self, passed=0, failed=0, skipped=0, excerpts=()):
        self.passed, self.failed, self.skipped = passed, failed, skipped
        self.excerpts = list(excerpts)

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.excerpts += other.excerpts

    def line(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def failure(title, text="", log=None):
    """One failed test with the telling part of its output."""
    lines = [line for line in text.splitlines() if line.strip() and not NOISE.match(line)]
    telling = [line for line in lines if TELLING.search(line)] or lines
    shown = telling[:EXCERPT_LINES // 2] + telling[EXCERPT_LINES // 2:][-EXCERPT_LINES // 2:]
    where = f" (log: {os.path.relpath(log, ROOT)})" if log else ""
    return Tally(failed=1, excerpts=[f"{title}{where}\n" + "\n".join(f"    {line[:200]}"
                                                                     for line in shown)])


def end_group(process):
    """Ends a process and what it started, politely first."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            pass
        try:
            process.wait(KILL_GRACE_SECONDS)
            return
        except subprocess.TimeoutExpired:
            continue


def run(command, log, seconds, env=None, cwd=ROOT):
    """Runs a command into a log file; (exit code or None when it outlived its time, output)."""
    os.makedirs(os.path.dirname(log), exist_ok=True)
    with open(log, "wb") as out:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        RUNNING.add(process)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            end_group(process)
            code = None
        except BaseException:
            end_group(process)
            raise
        finally:
            RUNNING.discard(process)
    with open(log, encoding="utf-8", errors="replace") as file:
        return code, file.read()


def build(preset):
    """None when the preset is built, else the failure."""
    log = os.path.join(LOGS, f"build-{preset}.log")
    code, text = run(["tools/build.sh", preset, "--", "-k", "0"], log, BUILD_SECONDS)
    return None if code == 0 else failure(f"build of {preset}", text, log)


def sanitizer_env(report=None):
    """Environment for sanitized programs; report: prefix of files that findings go to."""
    env = dict(os.environ)
    log = f":log_path={report}" if report else ""
    supp = os.path.join(ROOT, "tests", "support", "lsan.supp")
    # The interceptor of strstr measures the whole text each time: minutes on long texts.
    env["ASAN_OPTIONS"] = f"detect_leaks=1:detect_stack_use_after_return=1:intercept_strstr=0{log}"
    env["UBSAN_OPTIONS"] = f"print_stacktrace=1:halt_on_error=1{log}"
    env["LSAN_OPTIONS"] = f"suppressions={supp}:print_suppressions=0"
    return env


def ctest_list(folder):
    """(name, command or None, folder, seconds) of every test that the build registered."""
    listing = subprocess.run(["ctest", "--show-only=json-v1"], cwd=folder, check=True,
                             stdout=subprocess.PIPE).stdout
    for test in json.loads(listing)["tests"]:
        properties = {item["name"]: item["value"] for item in test.get("properties", [])}
        if "command" in test:
            yield (test["name"], test["command"], properties.get("WORKING_DIRECTORY", folder),
                   float(properties.get("TIMEOUT", 120)))
        else:
            yield test["name"], None, folder, 0.0


def judge_program(name, code, text, log):
    """Counts of one test program from its exit code and cmocka's summary."""
    ran = sum(int(n) for n in RAN.findall(text))
    tally = Tally()
    for field, pattern in COUNTS.items():
        setattr(tally, field, sum(int(n) for n in pattern.findall(text)))
    if ran == 0:  # not a cmocka program, or it did not come that far
        return Tally(passed=1) if code == 0 else failure(name, text, log)
    if tally.failed:
        tally.excerpts = failure(name, text, log).excerpts
    elif code is None:
        tally.add(failure(f"{name}: outlived its time", text, log))
    elif code != 0 or tally.passed + tally.skipped < ran:
        tally.add(failure(f"{name}: ended with {code} after {tally.passed} of {ran} tests", text,
                          log))
    return tally


def unit_suite(preset, folder, env):
    """Runs what could be built even when something could not: the count is wrong by that much."""
    tally = build(preset) or Tally()

    def one(test):
        name, command, cwd, seconds = test
        if command is None:
            return failure(f"{name}: was not built")
        log = os.path.join(LOGS, f"unit-{preset}", name.replace("/", "_") + ".log")
        code, text = run(command, log, seconds, env, cwd)
        return judge_program(name, code, text, log)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for result in pool.map(one, ctest_list(folder)):
            tally.add(result)
    if tally.passed + tally.failed + tally.skipped == 0:
        return failure(f"{preset}: no unit test was found")
    return tally


def judge_junit(path):
    tally = Tally()
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        title = f"{case.get('classname', '')}::{case.get('name', '')}"
        bad = [child for child in case if child.tag in ("failure", "error")]
        if bad:
            tally.add(failure(title, bad[0].text or bad[0].get("message", "")))
        elif any(child.tag == "skipped" for child in case):
            tally.skipped += 1
            tally.excerpts += [f"skipped: {title}: {child.get('message', '')}"
                               for child in case if child.tag == "skipped"]
        else:
            tally.passed += 1
    return tally


def judge_lines(text):
    """Counts from pytest's -v lines, for a run that did not reach its report."""
    words = PYTEST_LINE.findall(text)
    return Tally(passed=words.count("PASSED") + words.count("XPASS"),
                 failed=words.count("FAILED") + words.count("ERROR"),
                 skipped=words.count("SKIPPED") + words.count("XFAIL"))


def pytest_suite(suite, folder, env, arguments):
    log = os.path.join(LOGS, f"{suite}.log")
    junit = os.path.join(LOGS, f"{suite}.xml")
    if os.path.exists(junit):
        os.remove(junit)
    command = [PYTHON, "-m", "pytest", "-v", "--color=no", "-p", "no:cacheprovider",
               f"--junitxml={junit}", *arguments, folder]
    code, text = run(command, log, PYTEST_SECONDS, env)
    if code is None or not os.path.exists(junit):
        tally = judge_lines(text)
        what = "outlived its time" if code is None else f"ended with {code} without a report"
        tally.add(failure(f"{suite}: pytest {what}", text[-4000:], log))
        return tally
    tally = judge_junit(junit)
    if code == 5 or tally.passed + tally.failed + tally.skipped == 0:
        return failure(f"{suite}: no test was found", text, log)
    if code != 0 and tally.failed == 0:
        tally.add(failure(f"{suite}: pytest ended with {code}", text[-4000:], log))
    return tally


def release_pytest(suite, folder, arguments):
    problem = build("release")
    if problem:
        return problem
    env = dict(os.environ, HOLDFAST_BIN=os.path.join(ROOT, "build", "bin"))
    return pytest_suite(suite, folder, env, arguments)


def asan_pytest(suite, folder, arguments):
    """Every file that a sanitized process leaves in the report folder is a failure."""
    problem = build("asan")
    if problem:
        return problem
    reports = tempfile.mkdtemp(prefix="holdfast-asan-")
    os.chmod(reports, 0o1777)  # the services may run as another user
    try:
        env = sanitizer_env(os.path.join(reports, "report"))
        env["HOLDFAST_BIN"] = os.path.join(ROOT, "build", "asan", "bin")
        env["HOLDFAST_SANITIZED"] = "1"
        tally = pytest_suite(suite, folder, env, ["-m", "not no_asan", *arguments])
        kept = os.path.join(LOGS, "asan-reports")
        for name in sorted(os.listdir(reports)):
            os.makedirs(kept, exist_ok=True)
            path = shutil.copy(os.path.join(reports, name), kept)
            with open(path, encoding="utf-8", errors="replace") as file:
                tally.add(failure(f"{suite}: sanitizer report", file.read(), path))
        return tally
    finally:
        shutil.rmtree(reports, ignore_errors=True)


def suites(arguments):
    build_dir = os.path.join(ROOT, "build")
    table = {
        "unit": lambda: unit_suite("release", build_dir, dict(os.environ)),
        "asan-unit": lambda: unit_suite("asan", os.path.join(build_dir, "asan"), sanitizer_env()),
        "integration": lambda: release_pytest("integration", "tests/integration", arguments),
        "asan-integration": lambda: asan_pytest("asan-integration", "tests/integration", arguments),
        "e2e": lambda: release_pytest("e2e", "tests/e2e", arguments),
        "attack": lambda: release_pytest("attack", "tests/attack", arguments),
        "asan-attack": lambda: asan_pytest("asan-attack", "tests/attack", arguments),
    }
    folders = {"integration": "tests/integration", "asan-integration": "tests/integration",
               "e2e": "tests/e2e", "attack": "tests/attack", "asan-attack": "tests/attack"}
    return {name: suite for name, suite in table.items()
            if name not in folders or os.path.isdir(os.path.join(ROOT, folders[name]))}


def side_by_side(chosen):
    """The suites in their order, those that may run at one time together."""
    pair = [name for name in chosen if name in SIDE_BY_SIDE and not IS_LONG]
    alone = [[name] for name in chosen if name not in pair]
    return alone + [pair] if pair else alone


def together(play, names):
    """A thread for each; Ctrl-C, of which threads do not hear, ends what they run."""
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        try:
            yield from pool.map(play, names)
        except BaseException:
            for process in list(RUNNING):
                end_group(process)
            raise


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", help="suites, separated by commas")
    parser.add_argument("--list", action="store_true", help="print the suites")
    options, arguments = parser.parse_known_args()
    table = suites(arguments)
    chosen = options.only.split(",") if options.only else list(table)
    unknown = [name for name in chosen if name not in table]
    if unknown:
        parser.error(f"unknown suite {unknown[0]}; there are: {', '.join(table)}")
    if options.list:
        print("\n".join(table))
        return 0
    os.makedirs(LOGS, exist_ok=True)
    total = Tally()

    def play(name):
        began = time.monotonic()
        tally = table[name]()
        print(f"{name:<17}{tally.line()} in {time.monotonic() - began:.0f} s", flush=True)
        return tally

    for names in side_by_side(chosen):
        for tally in together(play, names) if len(names) > 1 else map(play, names):
            total.add(tally)
    for excerpt in total.excerpts:
        print(f"\n{excerpt}")
    print(f"\n{total.line()}" if total.excerpts else total.line(), flush=True)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
