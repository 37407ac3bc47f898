"""What stands around the service and is none of its business: the home and the environment of whoever
started it, libraries that a connection string names. The service runs with all of it at hand, and its
system calls are listened to.
"""

import os
import re
import signal
import subprocess
import types

import pytest

import fake_postgres
from support import proc
from support.state import as_owner, open_state

CANARY = "canary-of-the-surroundings"
PASSWORD = "aLittleSecretOfOurs"
CALLS = "open,openat,openat2,access,faccessat,faccessat2,execve,execveat"
FILES = [".pgpass", ".pg_service.conf", ".postgresql/root.crt", ".postgresql/root.crl",
         ".postgresql/postgresql.crt", ".postgresql/postgresql.key", "openssl.cnf", "aliases",
         "krb5.conf", "evil.so"]
# What PostgreSQL is told of a connection, and nobody else decides.
STARTUP = {"user", "database", "replication", "application_name", "client_encoding"}


def environment(home):
    """All that libpq and what is below it would obey."""
    own = {f"PG{name}": CANARY for name in (
        "PASSWORD", "USER", "DATABASE", "APPNAME", "OPTIONS", "SERVICE", "DATESTYLE", "TZ", "GEQO",
        "CLIENTENCODING", "REQUIREPEER", "KRBSRVNAME", "TARGETSESSIONATTRS", "CHANNELBINDING")}
    paths = {f"PG{name}": os.path.join(home, path) for name, path in (
        ("PASSFILE", ".pgpass"), ("SERVICEFILE", ".pg_service.conf"), ("SYSCONFDIR", ""),
        ("SSLROOTCERT", ".postgresql/root.crt"), ("SSLCRL", ".postgresql/root.crl"),
        ("SSLCERT", ".postgresql/postgresql.crt"), ("SSLKEY", f"{home}/evil.so:k"),
        ("LOCALEDIR", ""), ("HOST", ""))}
    others = {"HOME": home, "OPENSSL_CONF": f"{home}/openssl.cnf", "OPENSSL_ENGINES": home,
              "OPENSSL_MODULES": home, "SSL_CERT_FILE": f"{home}/.postgresql/root.crt",
              "SSL_CERT_DIR": home, "HOSTALIASES": f"{home}/aliases", "LOCALDOMAIN": CANARY,
              "KRB5_CONFIG": f"{home}/krb5.conf", "KRB5CCNAME": f"FILE:{home}/aliases",
              "GCONV_PATH": home, "XDG_CONFIG_HOME": home, "PGSSLMODE": "disable",
              "PATH": "/usr/local/bin:/usr/bin:/bin"}
    return {**own, **paths, **others}


def fill(home):
    for path in FILES:
        os.makedirs(os.path.dirname(os.path.join(home, path)), exist_ok=True)
        with open(os.path.join(home, path), "w", encoding="utf-8") as file:
            file.write(f"*:*:*:*:{PASSWORD}\n" if path == ".pgpass" else f"# {CANARY}\n")


class Listened:
    """The service of an installation in the place of the supervisor's, under strace."""

    def __init__(self, house, home):
        self.house, self.trace = house, os.path.join(home, "trace")
        pids = house.note_processes()
        self.supervisor, command = pids["supervisor"], proc.command_line(pids["backup"])
        proc.send(self.supervisor, signal.SIGSTOP)
        proc.send(pids["backup"], signal.SIGKILL)
        with open(os.path.join(home, "said"), "wb") as said:
            self.process = subprocess.Popen(
                ["strace", "-f", "-qq", "--seccomp-bpf", "-s", "512", "-e", f"trace={CALLS}", "-o",
                 self.trace, *as_owner(house.folder), *command],
                env=environment(home), cwd=house.folder, stdin=subprocess.DEVNULL, stdout=said,
                stderr=said)
        proc.wait_until(lambda: self.process.poll() is not None or house.run(
            "cluster", "list", check=False).returncode == 0, timeout=60, what="the service")
        assert self.process.poll() is None, "the service did not start"

    def calls(self):
        with open(self.trace, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()

    def end(self):
        for pid in proc.children(self.process.pid):
            proc.send(pid, signal.SIGTERM)
        try:
            self.process.wait(30)
        finally:
            proc.kill_tree(self.process.pid)
            proc.send(self.supervisor, signal.SIGCONT)
            proc.wait_until(lambda: self.house.run("cluster", "list", check=False).returncode == 0,
                            timeout=60, what="the supervisor's own service")
            self.house.note_processes()


@pytest.fixture(scope="module")
def played(house, start_server, tmp_path_factory):
    """One round: registrations, a change, a backup, rows of before; then what was called and said."""
    server = start_server()
    home = proc.new_folder("hf-home-")
    fill(home)
    state = open_state(house)
    socket = f"{server.folder}/.s.PGSQL.{server.port}"
    plain = fake_postgres.FakePostgres(socket, auth="scram", password=PASSWORD)
    secure = fake_postgres.FakePostgres(socket, auth="scram", password=PASSWORD,
                                        tls=fake_postgres.tls_context(home))
    made = types.SimpleNamespace(house=house, home=home, heard=plain.heard, refused={}, problems={})
    words = ("--password-stdin",)
    for name in ("engine", "loaded"):
        house.hf("cluster", "add", name, "--dsn", plain.dsn(), *words, stdin=PASSWORD)
    for name, key in (("engine", "engine:k"), ("loaded", f"{home}/evil.so:k")):
        state.psql(f"update backup.clusters set dsn = '{plain.dsn()} sslkey={key}' "
                   f"where name = '{name}'")
    listened = Listened(house, home)
    try:
        plain.heard.clear()
        made.begun = len(listened.calls())
        for name, dsn in (("nobody", plain.dsn()), ("keyed", f"{plain.dsn()} sslkey={home}/evil.so:k"),
                          ("engined", f"{plain.dsn()} sslkey=engine:k sslcert=engine:c")):
            made.refused[name] = house.run("cluster", "add", name, "--dsn", dsn, check=False).stderr
        house.hf("cluster", "add", "orders", "--dsn", plain.dsn(), *words, stdin=PASSWORD)
        house.hf("cluster", "update", "orders", "--dsn", secure.dsn(), *words, stdin=PASSWORD)
        made.heard = plain.heard + secure.heard
        proc.wait_until(lambda: house.hf("cluster", "describe", "orders")["state"] == "STREAMING",
                        timeout=60, what="the stream")
        house.backup("orders")
        made.heard = plain.heard + secure.heard
        for name in ("engine", "loaded"):
            made.problems[name] = house.hf("cluster", "describe", name)
        made.calls = listened.calls()
        yield made
    finally:
        listened.end()
        plain.close()
        secure.close()
        proc.remove_folder(home)


def test_home_and_environment__are_opened_by_nobody(played, attempts):
    assert any("tls.crt" in line or "vault.key" in line for line in played.calls), "it was listened to"
    found = [line for line in played.calls if played.home in line and "execve" not in line]
    attempts.add("local user", "environment", "PG*, OPENSSL_*, HOME with .pgpass and the like",
                 "none is read", not found)
    assert found == []


def test_programs__none_is_started(played):
    started = [line for line in played.calls if "execve" in line]
    assert len(started) == 2 and "holdfast-backup" in started[1], "setpriv, and the service"


def test_home_and_environment__reach_no_source(played):
    assert len(played.heard) > 5
    for said in played.heard:
        assert set(said) <= STARTUP and CANARY not in str(said), said
    assert "password" in played.refused["nobody"].lower(), "none was given, and none was found"


def test_engines__are_loaded_neither_from_a_request_nor_from_a_row(played):
    for name in ("keyed", "engined"):
        assert "DSN_ENGINE" in played.refused[name] or "DSN_CLIENT_FILE" in played.refused[name]
    for name in ("engine", "loaded"):
        assert "engine" in played.problems[name]["connectionProblem"]
        assert played.problems[name]["state"] != "STREAMING"
    assert [line for line in played.calls if re.search(r"evil|/engines-", line)] == []
