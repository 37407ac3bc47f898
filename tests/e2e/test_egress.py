"""A connection string is hostile input: who may reach what, by which words, with which certificates."""

import contextlib
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import threading

import pytest

from support import proc
from support.postgres import PASSWORD
from support.reflected import Client, Schema, reason
from support.state import open_state

SERVICE = "holdfast.backup.v1.BackupService"
PARENT = "tenants/default"


@pytest.fixture(scope="module")
def ask(house):
    """ask(who, dsn) → the reason of the refusal of a registration; "" when it would be taken."""
    folders = {"operator": house.certs("operator")}
    folders["tenant"] = house.certs("tenant", "--role", "admin")
    schema = Schema(house.endpoint(), folders["operator"], [SERVICE])
    clients = {who: Client(schema, house.endpoint(), folder) for who, folder in folders.items()}

    def run(who, dsn, **cluster):
        answer = clients[who]("BackupService/CreateCluster", {
            "parent": PARENT, "cluster_id": "probe", "cluster": {"dsn": dsn, **cluster},
            "validate_only": True})
        return reason(answer)

    yield run
    for client in clients.values():
        client.close()


@pytest.fixture(scope="module")
def state(house):
    return open_state(house)


def port_of(address):
    return int(address.rsplit(":", 1)[1])


LOOPBACK = ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "017700000001", "localhost", "127.9.9.9",
            "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]


@pytest.mark.parametrize("host", LOOPBACK)
def test_tenant__does_not_reach_loopback(ask, source, host):
    assert ask("tenant", f"host={host} port={source.port} user=holdfast") == "LOCAL_NEEDS_OPERATOR"


def test_tenant__does_not_reach_sockets(ask, house, source):
    for folder in (source.folder, house.path("run"), "/nonexistent", "/"):
        assert ask("tenant", f"host={folder} user=holdfast") == "LOCAL_NEEDS_OPERATOR"
    assert ask("tenant", "user=holdfast") == "LOCAL_NEEDS_OPERATOR"
    assert ask("tenant", "host=@abstract user=holdfast") == "SOCKET_ABSTRACT"


def test_operator__reaches_what_is_on_this_machine(ask, source):
    assert not ask("operator", source.dsn())
    assert not ask("operator", source.tcp_dsn(), password=PASSWORD)
    assert not ask("operator", source.tcp_dsn().replace("127.0.0.1", "localhost"),
                   password=PASSWORD)


def test_own_listeners__are_refused_to_everybody(ask, house, source):
    endpoints = house.info()["endpoints"]
    for who in ("operator", "tenant"):
        for address in endpoints.values():
            for host in ("127.0.0.1", "localhost", "0x7f.1", "127.5.5.5", "0.0.0.0", "::1"):
                said = ask(who, f"host={host} port={port_of(address)} user=x")
                assert said == "ADDRESS_OWN_LISTENER", (who, host, address, said)
    link = os.path.join(source.folder, "link")
    os.symlink(house.path("run"), link)
    for folder in (house.path("run"), link, house.path("run", "..", "run")):
        assert ask("operator", f"host={folder} user=holdfast_super") == "SOCKET_OWN"
    inner = os.path.join(source.folder, "inner")
    os.mkdir(inner)
    own = next(name for name in os.listdir(house.path("run")) if name.startswith(".s.PGSQL.")
               and not name.endswith(".lock"))
    os.symlink(house.path("run", own), os.path.join(inner, ".s.PGSQL.5432"))
    assert ask("operator", f"host={inner} user=holdfast_super") == "SOCKET_INVALID"


@pytest.mark.parametrize("host, said", [
    ("169.254.169.254", "ADDRESS_METADATA"), ("100.100.100.200", "ADDRESS_METADATA"),
    ("fd00:ec2::254", "ADDRESS_METADATA"), ("2852039166", "ADDRESS_METADATA"),
    ("169.254.1.1", "ADDRESS_LINK_LOCAL"), ("fe80::1", "ADDRESS_LINK_LOCAL"),
    ("224.0.0.1", "ADDRESS_MULTICAST"), ("255.255.255.255", "ADDRESS_BROADCAST"),
    ("240.0.0.1", "ADDRESS_RESERVED"), ("0", "ADDRESS_UNSPECIFIED"), ("::", "ADDRESS_UNSPECIFIED")])
def test_operator__does_not_reach_what_is_never_a_source(ask, host, said):
    assert ask("operator", f"host={host} user=x") == said
    assert ask("operator", f"host=good.invalid hostaddr={host} user=x") in (said, "INVALID_DSN",
                                                                           "HOST_INVALID")


def test_several_hosts__one_that_is_refused_refuses_all(ask, house, source):
    port = port_of(house.endpoint())
    assert ask("operator", f"host=127.0.0.1,127.0.0.1 port={source.port},{port} "
                           "user=holdfast") == "ADDRESS_OWN_LISTENER"


@pytest.mark.parametrize("word, said", [
    ("sslkey=/tmp/evil.so:k", "DSN_ENGINE"), ("sslcert=/etc/passwd", "DSN_CLIENT_FILE"),
    ("service=x", "DSN_SERVICE"), ("passfile=/etc/shadow", "DSN_PASSFILE"),
    ("options=-cx=y", "DSN_OPTIONS"), ("replication=database", "DSN_OURS"),
    ("gssencmode=require", "DSN_GSS"), ("requirepeer=root", "DSN_REQUIREPEER"),
    ("password=x", "PASSWORD_IN_DSN"), ("tcp_user_timeout=1", "DSN_KEYWORD")])
def test_keywords__are_refused_each_with_its_reason(ask, source, word, said):
    assert ask("operator", f"{source.dsn()} {word}") == said


def test_dbname__is_never_a_connection_string(ask, house, source):
    inner = f"host={house.path('run')} user=holdfast_super dbname=holdfast"
    said = ask("operator", f"host={source.folder} port={source.port} user=holdfast "
                           f"dbname='{inner}'")
    assert said == "DATABASE_NOT_FOUND"


# --- certificates ------------------------------------------------------------------------------


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def secure(start_server):
    """A server that wants TLS and a client's certificate, and the folder of its authority."""
    server = start_server(version=17)
    server.stop()
    folder = server.folder
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=authority", "-days", "2")
    for name, subject in (("server", "localhost"), ("client", "holdfast"), ("other", "holdfast")):
        openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={subject}")
        with open(os.path.join(folder, "ext"), "w", encoding="utf-8") as file:
            file.write(f"subjectAltName=DNS:{subject}\n")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                "-CAcreateserial", "-days", "2", "-out", f"{name}.crt", "-extfile", "ext")
    for name in os.listdir(folder):
        if name.endswith((".key", ".crt")):
            proc.give_to_server_user(os.path.join(folder, name))
            os.chmod(os.path.join(folder, name), 0o600)
    with open(os.path.join(server.data, "pg_hba.conf"), "w", encoding="utf-8") as file:
        file.write("local all all trust\nlocal replication all trust\nhostssl all holdfast all cert\n"
                   "hostssl replication holdfast all cert\n")
    server.settings.update(ssl="on", ssl_ca_file=f"{folder}/ca.crt",
                           ssl_cert_file=f"{folder}/server.crt",
                           ssl_key_file=f"{folder}/server.key")
    return server.start()


def test_certificates__are_uploaded_and_leave_nothing_behind(house, secure):
    folder = secure.folder
    dsn = secure.tcp_dsn().replace("127.0.0.1", "localhost")
    bundle = os.path.join(folder, "bundle.crt")  # as long as a system's
    with open(os.path.join(folder, "ca.crt"), encoding="utf-8") as file:
        text = file.read()
    with open(bundle, "w", encoding="utf-8") as file:
        file.write(text * (230_000 // len(text)))
    der = os.path.join(folder, "ca.der")
    proc.run(["openssl", "x509", "-in", f"{folder}/ca.crt", "-outform", "DER", "-out", der])
    said = house.fails(2, "cluster", "add", "secure", "--dsn", dsn, "--ca-file", der)
    assert f"openssl x509 -inform DER -in {der} -out {der}.pem" in said
    empty = os.path.join(folder, "empty")
    for text, option in [("", "--ca-file"), (" \n", "--cert-file"), ("\n", "--password-file")]:
        with open(empty, "w", encoding="utf-8") as file:  # what was to make it has failed
            file.write(text)
        said = house.fails(2, "cluster", "add", "secure", "--dsn", dsn, option, empty)
        assert f"{option} {empty}" in said and "empty" in said
    words = ["--ca-file", bundle, "--cert-file", f"{folder}/client.crt"]
    with open(f"{folder}/client.key", encoding="utf-8") as file:
        key = file.read()
    house.run("cluster", "add", "secure", "--dsn", dsn, *words, "--key-file", "/dev/stdin", stdin=key)
    seen = proc.wait_until(lambda: streaming(house, "secure"), what="a stream over TLS", timeout=30)
    assert seen["hasCa"] and seen["hasCertificate"]
    assert not any(seen.get(key) for key in ("caPem", "certPem", "keyPem"))
    house.backup("secure")
    (own,) = os.listdir(house.path("cache", "connect"))  # of the only process
    proc.wait_until(lambda: not os.listdir(house.path("cache", "connect", own)), timeout=30,
                    what="no certificate on disk")
    shutil.rmtree(house.path("cache", "connect"))  # a cache may be lost while all runs
    house.backup("secure")
    house.run("cluster", "remove", "secure")


def test_certificates__that_do_not_fit_are_refused(ask, secure):
    def text(name):
        with open(os.path.join(secure.folder, name), encoding="utf-8") as file:
            return file.read()

    dsn = secure.tcp_dsn().replace("127.0.0.1", "localhost")
    crt, key = text("client.crt"), text("client.key")
    cases = [({"cert_pem": crt, "key_pem": text("other.key")}, "KEY_MISMATCH"),
             ({"cert_pem": crt}, "CERTIFICATE_WITHOUT_KEY"),
             ({"key_pem": key}, "KEY_WITHOUT_CERTIFICATE"),
             ({"ca_pem": "nonsense"}, "CA_INVALID"),
             ({"ca_pem": key}, "CA_INVALID"),
             ({"cert_pem": crt + key, "key_pem": key}, "CERTIFICATE_INVALID"),
             ({"cert_pem": crt, "key_pem": "/tmp/evil.so:k"}, "KEY_INVALID"),
             ({"cert_pem": crt, "key_pem": key + key}, "KEY_INVALID"),
             ({"ca_pem": text("ca.crt") * 600}, "CA_INVALID"),
             ({"ca_pem": crt}, "TLS_NOT_VERIFIED")]
    for given, said in cases:
        assert ask("operator", dsn, **given) == said, given
    assert ask("operator", dsn + " sslmode=verify-full") == "CA_MISSING"


# --- changing ----------------------------------------------------------------------------------


def streaming(house, name):
    seen = house.hf("cluster", "describe", name)
    return seen if seen["state"] == "STREAMING" else None


def test_update__streams_on_from_the_same_slot(house, source, secure):
    made = house.add_cluster("orders", source)
    proc.wait_until(lambda: streaming(house, "orders"), what="a stream", timeout=30)
    changed = house.hf("cluster", "update", "orders", "--dsn", source.tcp_dsn(), "--password-stdin",
                       stdin=PASSWORD)
    assert changed["slot"] == made["slot"] and changed["dsn"] == source.tcp_dsn()
    assert changed["etag"] != made["etag"]
    proc.wait_until(lambda: streaming(house, "orders"), what="a stream again", timeout=30)
    said = house.run("cluster", "update", "orders", "--dsn", secure.dsn(), "--password-stdin",
                     stdin=PASSWORD, check=False)
    assert said.returncode != 0 and "another system" in said.stderr
    assert house.run("cluster", "update", "orders", check=False).returncode != 0
    assert house.hf("cluster", "describe", "orders")["dsn"] == source.tcp_dsn()


def test_doctor__names_the_option_that_mends_a_password(house, source):
    """After test_update: a password is stored, and another is set at the source."""
    source.psql("alter role holdfast password 'another'")
    source.psql("select pg_terminate_backend(pid) from pg_stat_replication")

    def named():
        checks = json.loads(house.run("doctor", "-o", "json", check=False).stdout)["checks"]
        return [check for check in checks if "--password-file" in check["fix"]]

    assert proc.wait_until(named, what="the fix")[0]["name"] == "cluster orders"
    source.psql(f"alter role holdfast noreplication password '{PASSWORD}'")
    proc.wait_until(lambda: any(fix.startswith("as said") for fix in fixes(house)), what="its words")
    source.psql("alter role holdfast replication")
    proc.wait_until(lambda: streaming(house, "orders"), what="a stream", timeout=30)


def test_update__sends_no_stored_password_elsewhere(house, source):
    """After test_update: a password is stored for the address that the cluster has."""
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", 0))
        thief.listen(5)
        thief.setblocking(False)
        here, there = f"port={source.port} ", f"port={thief.getsockname()[1]} "
        dsn = source.tcp_dsn()
        for other in (dsn.replace(here, there), dsn.replace("127.0.0.1", "localhost"),
                      dsn.replace("127.0.0.1", "127.0.0.1,127.0.0.1").replace(
                          here, f"port={source.port},{thief.getsockname()[1]} "),
                      f"{dsn} hostaddr=127.0.0.2", dsn.replace("user=holdfast", "user=postgres"),
                      f"{dsn} sslmode=disable", f"{dsn} channel_binding=disable"):
            for words in ((), ("--validate-only",)):
                said = house.run("cluster", "update", "orders", "--dsn", other, *words, check=False)
                assert said.returncode != 0, other
                assert "--password-stdin" in said.stderr, said.stderr
        with pytest.raises(BlockingIOError):
            thief.accept()
    changed = house.hf("cluster", "update", "orders", "--dsn", f"{dsn} connect_timeout=5")
    assert changed["dsn"] == f"{dsn} connect_timeout=5"
    house.run("cluster", "update", "orders", "--dsn", dsn.replace("127.0.0.1", "localhost"),
              "--password-stdin", stdin=PASSWORD)
    house.run("cluster", "update", "orders", "--dsn", dsn, "--password-stdin", stdin=PASSWORD)
    proc.wait_until(lambda: streaming(house, "orders"), what="a stream", timeout=30)


class Thief(threading.Thread):
    """Listens on loopback and closes what comes; came: how many did."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener, self.came = socket.create_server(("127.0.0.1", 0)), 0
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                self.listener.accept()[0].close()
                self.came += 1

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


# What a change makes of a connection string; whether what is stored may go that way.
WAYS = {
    "as it is": (lambda dsn, port: dsn, True),
    "a timeout": (lambda dsn, port: f"{dsn} connect_timeout=5", True),
    "another port": (lambda dsn, port: re.sub(r"port=\d+", f"port={port}", dsn), False),
    "another host": (lambda dsn, port: re.sub(r"host=\S+", "host=127.0.0.3", dsn), False),
    "an address": (lambda dsn, port: f"{dsn} hostaddr=127.0.0.2", False),
    "one more host": (lambda dsn, port: re.sub(r"host=(\S+) port=(\d+)",
                                               rf"host=\1,127.0.0.1 port=\2,{port}", dsn), False),
    "another user": (lambda dsn, port: dsn.replace("user=holdfast", "user=postgres"), False),
    "less TLS": (lambda dsn, port: f"{dsn} sslmode=disable", False),
    "no binding": (lambda dsn, port: f"{dsn} channel_binding=disable", False),
}
# Secrets that a request gives anew or clears; of a key a new certificate alone is not enough.
KEY = ["cert_pem", "key_pem"]
GIVEN = [[], ["password"], ["cert_pem"], KEY, ["password", *KEY]]
HALVES = ("CERTIFICATE_WITHOUT_KEY", "KEY_WITHOUT_CERTIFICATE")  # said before
MASKS = {"dsn": "dsn", "password": "password", "ca_pem": "caPem", "cert_pem": "certPem",
         "key_pem": "keyPem"}


class Secrets:
    """Clusters with each kind of stored secret, and what a change of their way is told."""

    def __init__(self, house, source, secure):
        def text(name):
            with open(os.path.join(secure.folder, name), encoding="utf-8") as file:
                return file.read()

        self.values = {"password": PASSWORD, "ca_pem": text("ca.crt"),
                       "cert_pem": text("client.crt"), "key_pem": text("client.key")}
        self.other_ca = text("other.crt")
        there = secure.tcp_dsn().replace("127.0.0.1", "localhost")
        self.stored = {"by-password": (source.tcp_dsn(), ["password"]),
                       "by-key": (there, ["ca_pem", *KEY]), "by-both": (there, list(self.values))}
        self.client = Client(Schema(house.endpoint(), house.certs("operator"), [SERVICE]),
                             house.endpoint(), house.certs("operator"))
        for name, (dsn, known) in self.stored.items():
            self.client("BackupService/CreateCluster", {
                "parent": PARENT, "cluster_id": name,
                "cluster": {"dsn": dsn, **{key: self.values[key] for key in known}}}).reply

    def rows(self, name, port):
        """Connection string, authority ("": cleared), whether what is stored may go that way."""
        dsn, known = self.stored[name]
        kept = self.values["ca_pem"] if "ca_pem" in known else None
        yield from ((way(dsn, port), kept, is_trusted) for way, is_trusted in WAYS.values())
        if kept:
            yield from ((dsn, other, False) for other in (self.other_ca, ""))

    def said(self, name, dsn, authority, given, is_cleared):
        cluster = {"dsn": dsn, **({} if is_cleared else {key: self.values[key] for key in given})}
        changed = ["dsn", *given]
        if authority is not None:
            cluster["ca_pem"] = authority
            changed.append("ca_pem")
        return reason(self.client("BackupService/UpdateCluster", {
            "name": f"{PARENT}/clusters/{name}", "cluster": cluster, "validate_only": True,
            "update_mask": ",".join(MASKS[key] for key in changed)}))

    def is_required(self, name, is_trusted, given):
        kept = set(self.stored[name][1]) & {"password", "key_pem"} - set(given)
        return bool(kept) and not is_trusted


def test_update__takes_what_is_stored_nowhere_else(house, source, secure):
    """Each secret that may be stored, each change of the way, each secret that is given with it."""
    secrets, thief, wrong, counted = Secrets(house, source, secure), Thief(), [], 0
    try:
        for name in secrets.stored:
            for dsn, authority, is_trusted in secrets.rows(name, thief.port):
                for given, is_cleared in itertools.product(GIVEN, (False, True)):
                    came, counted = thief.came, counted + 1
                    said = secrets.said(name, dsn, authority, given, is_cleared)
                    is_required = secrets.is_required(name, is_trusted, given)
                    is_refused = said == "PASSWORD_REQUIRED" or said in HALVES
                    if (not is_refused or thief.came != came) if is_required else (
                            said == "PASSWORD_REQUIRED"):
                        wrong.append((name, dsn, (authority or "")[:9], given, is_cleared, said))
        assert wrong == [] and counted > 250 and thief.came > 0
    finally:
        thief.close()
        secrets.client.close()
        for name in secrets.stored:
            house.run("cluster", "remove", name)


SLOW_COMMIT = """
create or replace function public.slow() returns trigger language plpgsql as
    'begin perform pg_sleep(3); return null; end';
create constraint trigger slow after update on backup.clusters deferrable initially deferred
    for each row when (old.dsn is distinct from new.dsn) execute function public.slow();
"""


def test_update__goes_on_after_its_commit_when_the_caller_has_gone(house, source, state):
    client = Client(Schema(house.endpoint(), house.certs("operator"), [SERVICE]), house.endpoint(),
                    house.certs("operator"))
    state.psql(SLOW_COMMIT)
    try:
        answer = client("BackupService/UpdateCluster", {
            "name": f"{PARENT}/clusters/orders", "update_mask": "dsn,password",
            "cluster": {"dsn": source.dsn()}}, timeout=2)
        assert answer.code == "DEADLINE_EXCEEDED"
    finally:
        client.close()
        proc.wait_until(lambda: house.hf("cluster", "describe", "orders")["dsn"] == source.dsn(),
                        what="the commit", timeout=30)
        state.psql("drop trigger slow on backup.clusters")

    def over_the_socket():
        return source.psql("select count(*) from pg_stat_replication where client_addr is null "
                           "and application_name = 'holdfast_orders'") == "1"

    proc.wait_until(over_the_socket, what="the stream by the new way", timeout=30)
    proc.wait_until(lambda: streaming(house, "orders"), what="a stream", timeout=30)


def test_dsn__is_stored_as_one_line(house, source):
    spaced = source.dsn().replace(" ", "\n\t")
    changed = house.hf("cluster", "update", "orders", "--dsn", f"{spaced}\n")
    assert changed["dsn"].split() == source.dsn().split()
    assert not set(changed["dsn"]) & set("\n\t")
    seen = proc.wait_until(lambda: streaming(house, "orders"), what="a stream", timeout=30)
    assert not seen.get("damage")


def test_old_row__with_white_space_streams_on(house, source, state):
    spaced = source.dsn().replace(" ", "\n\t")
    state.psql(f"update backup.clusters set dsn = '{spaced}' where delete_time is null")
    house.kill("backup")
    seen = proc.wait_until(lambda: quietly(lambda: streaming(house, "orders")), timeout=60,
                           what="a stream of the old row")
    assert not seen.get("damage") and not seen.get("connectionProblem")


def fixes(house):
    """The commands that doctor names for what is red."""
    checks = json.loads(house.run("doctor", "-o", "json", check=False).stdout)["checks"]
    return [check["fix"] for check in checks if check["verdict"] == "fail"]


def pasted(house, command):
    path = os.path.dirname(house.program) + os.pathsep + os.environ["PATH"]
    proc.run(["sh", "-c", command], env={**house.env, "PATH": path})


def test_old_row__streams_on_and_says_what_mends_it(house, source, state):
    """After test_update: the cluster is there."""
    old = f"{source.dsn()} options=-csearch_path=x"
    state.psql(f"update backup.clusters set dsn = '{old}' where delete_time is null")
    house.kill("backup")
    seen = proc.wait_until(lambda: quietly(lambda: streaming(house, "orders")), timeout=60,
                           what="a stream of the old row")
    assert "holdfast cluster update orders" in seen["connectionProblem"]
    assert seen["warnings"][0] == seen["connectionProblem"]
    assert seen["findings"][0]["needsAction"] and "; fix: " not in seen["findings"][0]["message"]
    red = [fix for fix in fixes(house) if "holdfast cluster update orders --dsn" in fix]
    assert "ACTION NEEDED" in house.run("info").stdout
    pasted(house, red[0])
    assert "options" not in house.hf("cluster", "describe", "orders")["dsn"]
    seen = proc.wait_until(lambda: streaming(house, "orders"), what="a stream", timeout=30)
    assert not seen.get("connectionProblem")


def revocations(folder, *revoked):
    """A list of the authority's, as PEM."""
    config = os.path.join(folder, "ca.cnf")
    with open(config, "w", encoding="utf-8") as file:
        file.write("[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ndefault_md=sha256\n"
                   "default_crl_days=2\n")
    with open(os.path.join(folder, "index.txt"), "a", encoding="utf-8"):
        pass
    words = ["ca", "-config", config, "-keyfile", "ca.key", "-cert", "ca.crt"]
    for name in revoked:
        openssl(folder, *words, "-revoke", name)
    openssl(folder, *words, "-gencrl", "-out", "crl")
    with open(os.path.join(folder, "crl"), encoding="utf-8") as file:
        return file.read()


def put_anew(folder, name, text, owner):
    """By rename, as whoever renews certificates does."""
    path = os.path.join(folder, name)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write(text)
    os.chown(file.name, owner.st_uid, owner.st_gid)
    os.chmod(file.name, 0o600)
    os.rename(file.name, path)


def files_are_judged_anew(house, secure, folder, owner):
    """At each connection, as they are then; a list that libpq passes over is no list."""
    empty = revocations(secure.folder)
    with open(os.path.join(folder, "ca.crt"), encoding="utf-8") as file:
        authority = file.read()
    for text, reason in ((revocations(secure.folder, "server.crt"), "TLS_NOT_VERIFIED"),
                         ("no list", "TLS_FILE_UNREADABLE")):
        put_anew(folder, "crl", text, owner)
        secure.psql("select pg_terminate_backend(pid) from pg_stat_replication")
        proc.wait_until(lambda: house.hf("wal", "status", "old").get("errorReason") == reason,
                        timeout=30, what=reason)
        assert not streaming(house, "old")
    put_anew(folder, "crl", empty, owner)
    put_anew(folder, "ca.crt", authority, owner)
    return proc.wait_until(lambda: streaming(house, "old"), timeout=30, what="a stream again")


def test_old_row__with_certificates_of_this_machine_streams_on(house, source, secure, state):
    """Earlier releases took names of files; the service may read those and no others."""
    folder, owner = proc.new_folder(), os.stat(house.folder)
    os.chmod(folder, 0o755)
    for name in ("ca.crt", "client.crt", "client.key"):
        shutil.copy(os.path.join(secure.folder, name), folder)
        os.chown(os.path.join(folder, name), owner.st_uid, owner.st_gid)
        os.chmod(os.path.join(folder, name), 0o600)
    put_anew(folder, "crl", revocations(secure.folder), owner)
    dsn = secure.tcp_dsn().replace("127.0.0.1", "localhost")
    words = [f"--{word}-file={secure.folder}/{name}" for word, name in (
        ("ca", "ca.crt"), ("cert", "client.crt"), ("key", "client.key"))]
    house.run("cluster", "add", "old", "--dsn", dsn, *words)
    state.psql("update backup.clusters set ca_sealed = null, cert_sealed = null, key_sealed = null, "
               f"dsn = '{dsn} sslmode=verify-full sslrootcert={folder}/ca.crt "
               f"sslcert={folder}/client.crt sslkey={folder}/client.key sslcrl={folder}/crl' "
               "where name = 'old'")
    house.kill("backup")
    proc.wait_until(lambda: quietly(lambda: streaming(house, "old")), timeout=60,
                    what="a stream of the old row")
    seen = files_are_judged_anew(house, secure, folder, owner)
    assert "is taken again" in seen["connectionProblem"]
    [fix] = {fix for fix in fixes(house) if "holdfast cluster update old" in fix}
    for word in (f"--ca-file {folder}/ca.crt", f"--cert-file {folder}/client.crt",
                 f"--key-file {folder}/client.key"):
        assert word in fix and word in seen["connectionProblem"]
    pasted(house, fix)
    seen = proc.wait_until(lambda: streaming(house, "old"), timeout=60, what="a stream")
    assert seen["hasCa"] and seen["hasCertificate"] and not seen.get("connectionProblem")
    house.run("cluster", "remove", "old")
    proc.remove_folder(folder)


def test_old_row__with_an_engine_stops(house, source, state):
    house.run("cluster", "update", "orders", "--dsn", source.dsn(), "--password-stdin",
              stdin=PASSWORD)
    state.psql(f"update backup.clusters set dsn = '{source.dsn()} sslkey=/tmp/evil.so:k "
               "sslrootcert=/tmp/a\u202e\u009bz' "
               "where delete_time is null")
    house.kill("backup")
    seen = proc.wait_until(
        lambda: quietly(lambda: house.hf("cluster", "describe", "orders")), timeout=60,
        what="the service again")
    assert seen["state"] != "STREAMING"
    assert "engine" in seen["connectionProblem"] and "--ca-file" in seen["connectionProblem"]
    assert seen["connectionProblem"].endswith(" --password-stdin")
    assert not set("\u202e\u009b") & set(seen["connectionProblem"] + seen["warnings"][0])
    assert not [fix for fix in fixes(house) if "evil" in fix or "psql" in fix]
    house.run("cluster", "update", "orders", "--dsn", source.dsn(), "--password-stdin",
              stdin=PASSWORD)
    proc.wait_until(lambda: streaming(house, "orders"), what="a stream", timeout=30)


def test_operator__vouches_for_the_address_only_that_the_request_names(house, source, state):
    """A tenant's cluster whose password an admin of the installation changes stays the tenant's."""
    flag = "select is_operator_made from backup.clusters where name = 'orders'"
    state.psql("update backup.clusters set is_operator_made = false where name = 'orders'")
    said = house.run("cluster", "update", "orders", "--password-stdin", stdin=PASSWORD, check=False)
    assert said.returncode != 0 and "admins of the installation" in said.stderr
    assert state.psql(flag) == "f"
    house.run("cluster", "update", "orders", "--dsn", source.dsn(), "--password-stdin",
              stdin=PASSWORD)
    assert state.psql(flag) == "t"
    proc.wait_until(lambda: streaming(house, "orders"), what="a stream", timeout=30)


def quietly(fn):
    """None while the service is not back yet."""
    try:
        return fn()
    except (AssertionError, json.JSONDecodeError, subprocess.CalledProcessError):
        return None
