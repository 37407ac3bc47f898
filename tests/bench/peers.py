"""The source cluster and the tools that are compared, each with the same three operations."""
import json
import os
import pwd
import shutil
import socket
import subprocess
import time

from measure import children, disk_bytes, measure, pss_of

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("HOLDFAST_BIN", os.path.join(ROOT, "build", "bin"))
PG = "/usr/lib/postgresql/15/bin"
USER = "postgres"


def as_user(command):
    if os.geteuid() != 0:
        return command
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] + command


def run(command, **options):
    done = subprocess.run(command, check=False, text=True, capture_output=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return done.stdout


def own(path):
    os.makedirs(path, exist_ok=True)
    if os.geteuid() == 0:
        entry = pwd.getpwnam(USER)
        os.chown(path, entry.pw_uid, entry.pw_gid)
    return path


def free_port():
    for port in range(20100, 32000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port below 32000")


class Source:
    """A PostgreSQL 15 with about size_gb of seeded data; kept between invocations."""

    def __init__(self, directory, size_gb):
        self.directory, self.size_gb = directory, size_gb
        self.data = os.path.join(directory, "data")
        self.port = free_port()

    def sql(self, text):
        return run(["psql", "-h", self.directory, "-p", str(self.port), "-U", USER, "-Atqc", text,
                    "postgres"]).strip()

    def start(self):
        os.makedirs(os.path.dirname(self.directory), exist_ok=True)  # not the source's owner's
        own(self.directory)
        is_new = not os.path.exists(os.path.join(self.data, "PG_VERSION"))
        if is_new:
            run(as_user([f"{PG}/initdb", "-k", "-A", "trust", "-U", USER, "-D", self.data]))
        options = (f"-p {self.port} -k {self.directory} -c listen_addresses=127.0.0.1 "
                   "-c shared_buffers=512MB -c max_wal_size=8GB -c autovacuum=off "
                   "-c max_slot_wal_keep_size=20GB")
        run(as_user([f"{PG}/pg_ctl", "-w", "-t", "300", "-D", self.data, "-o", options, "-l",
                     os.path.join(self.directory, "log"), "start"]))
        if is_new:
            self.fill()

    def tool(self, name, *libraries):
        """A program of this folder, compiled."""
        program = os.path.join(os.path.dirname(self.directory), name)
        run(["gcc", "-O2", "-o", program, os.path.join(ROOT, "tests/bench", f"{name}.c"), *libraries])
        return program

    def run_zstd_tables(self, kind):
        """Output of zstd_tables over the largest tables (r) or indexes (i)."""
        files = self.sql("SELECT pg_relation_filepath(oid) FROM pg_class "
                         f"WHERE relkind = '{kind}' AND pg_relation_size(oid) > 8000000 "
                         "ORDER BY pg_relation_size(oid) DESC LIMIT 6").splitlines()
        return run([self.tool("zstd_tables", "-lzstd"),
                    *(os.path.join(self.data, file) for file in files)])

    def fill(self):
        generator = self.tool("gen_rows")
        rows = int(self.size_gb * 500_000)
        for number in range(3):
            table = f"orders_{number}"
            self.sql(f"CREATE TABLE {table} (id bigint, uid uuid, created timestamptz, "
                     "amount numeric(12,2), status text, title text, body text, attrs jsonb)")
            copy = (f"{generator} {number + 1} {rows} | psql -h {self.directory} -p {self.port} "
                    f"-U {USER} -qc 'COPY {table} FROM STDIN' postgres")
            subprocess.run(["bash", "-o", "pipefail", "-c", copy], check=True)
            self.sql(f"ALTER TABLE {table} ADD PRIMARY KEY (id)")
            self.sql(f"CREATE INDEX ON {table} (uid)")
        for first in range(0, 2000, 200):
            self.sql("DO $$ BEGIN FOR i IN %d..%d LOOP EXECUTE format('CREATE TABLE small_%%s AS "
                     "SELECT g AS id, md5(g::text) AS value FROM generate_series(1, 40) g', i); "
                     "END LOOP; END $$" % (first, first + 199))
        self.sql("VACUUM ANALYZE")
        self.sql("CHECKPOINT")

    def version(self):
        return self.sql("SHOW server_version").split()[0]

    def size(self):
        return int(self.sql("SELECT sum(pg_database_size(oid)) FROM pg_database"))

    def stop(self, remove):
        subprocess.run(as_user([f"{PG}/pg_ctl", "-w", "-D", self.data, "-m", "fast", "stop"]),
                       check=False, capture_output=True)
        if remove:
            shutil.rmtree(self.directory, ignore_errors=True)


class Holdfast:
    def __init__(self, directory, source, programs=BIN, name="holdfast"):
        self.name = name
        self.source = source
        self.directory = os.path.join(directory, "holdfast")
        self.target = own(os.path.join(directory, "holdfast-restored"))
        self.command = [os.path.join(programs, "holdfast"), "--dir", self.directory]
        run(self.command + ["up"])

    def call(self, *arguments):
        return run(self.command + list(arguments))

    def processes(self):
        info = json.loads(self.call("info", "-o", "json"))
        return {process["name"]: process["pid"] for process in info["processes"]}

    def pids(self):
        """Of the service, and of the servers that it uses."""
        processes = self.processes()
        return [processes["backup"]], [processes["postgres"], processes["redis"]]

    def stored(self):
        """Data, maps and roots; WAL is stored, too, and no part of what peers store here."""
        sources = os.path.join(self.directory, "vault", "tenants", "default", "sources")
        total = 0
        for source in os.listdir(sources) if os.path.isdir(sources) else []:
            for kind in ("packs", "maps", "tables", "roots"):
                total += disk_bytes(os.path.join(sources, source, kind))
        return total

    def add(self, cluster):
        self.call("cluster", "add", cluster, "--dsn",
                  f"host=127.0.0.1 port={self.source.port} user={USER} dbname=postgres")
        self.wait_streaming(cluster)

    def operations(self, number):
        cluster = f"bench{number}"
        self.add(cluster)
        yield from self.operations_of(cluster)

    def operations_of(self, cluster):
        backup = self.command + ["backup", "create", cluster, "--wait", "-o", "name"]
        target = os.path.join(self.target, cluster)

        def timed(command):
            service, apart = self.pids()
            return lambda: measure(command, services=service, apart=apart, stored=self.stored)

        yield "full", timed(backup)
        yield "second", timed(backup)
        yield "restore", timed(self.command + ["restore", cluster, "--to", target, "--latest"])

    def wait_streaming(self, cluster):
        for _ in range(100):
            if "STREAMING" in self.call("wal", "status", cluster):
                return
            time.sleep(0.2)
        raise RuntimeError("the receiver does not stream")

    def cleanup(self, number):
        shutil.rmtree(os.path.join(self.target, f"bench{number}"), ignore_errors=True)
        self.call("cluster", "remove", f"bench{number}")
        vault = os.path.join(self.directory, "vault", "tenants", "default", "sources")
        shutil.rmtree(vault, ignore_errors=True)  # only the bench may do this: it owns the vault

    def idle(self):
        processes = self.processes()
        time.sleep(20)  # the service gives pages back every ten seconds
        return [(name, sum(pss_of(child) for child in
                           (children(pid) if name in ("postgres", "redis") else [pid])))
                for name, pid in processes.items()]

    def stop(self):
        subprocess.run(self.command + ["down", "--destroy", "--yes"], check=False, capture_output=True,
                       stdin=subprocess.DEVNULL)
        shutil.rmtree(self.target, ignore_errors=True)


class PgBackRest:
    name = "pgbackrest"

    def __init__(self, directory, source):
        self.source = source
        self.directory = own(os.path.join(directory, "pgbackrest"))
        self.repo = own(os.path.join(self.directory, "repo"))
        self.target = os.path.join(self.directory, "restored")
        self.config = os.path.join(self.directory, "pgbackrest.conf")
        with open(self.config, "w", encoding="ascii") as file:
            file.write(f"""[global]
repo1-path={self.repo}
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=benchmark-only
repo1-bundle=y
process-max=2
compress-type=zst
compress-level=3
start-fast=y
log-level-console=warn
log-level-file=off
lock-path={self.directory}/lock
spool-path={self.directory}/spool
archive-check=n
archive-copy=n

[bench]
pg1-path={source.data}
pg1-port={source.port}
pg1-socket-path={source.directory}
pg1-user={USER}
""")
        run(self.base() + ["stanza-create"])

    def base(self):
        return as_user(["pgbackrest", f"--config={self.config}", "--stanza=bench"])

    @staticmethod
    def version():
        return run(["pgbackrest", "version"]).split()[-1]

    def operations(self, number):
        def stored():
            return disk_bytes(self.repo)

        backup = self.base() + ["backup", "--repo1-retention-full=99"]
        yield "full", lambda: measure(backup + ["--type=full"], stored=stored)
        yield "second", lambda: measure(backup + ["--type=incr"], stored=stored)
        own(self.target)
        yield "restore", lambda: measure(
            self.base() + ["restore", f"--pg1-path={self.target}", "--type=none"])

    def cleanup(self, number):
        shutil.rmtree(self.target, ignore_errors=True)

    def stop(self):
        shutil.rmtree(self.directory, ignore_errors=True)


class PgBaseBackup:
    name = "pg_basebackup"

    def __init__(self, directory, source):
        self.source = source
        self.target = os.path.join(directory, "pg_basebackup")

    def operations(self, number):
        command = as_user([f"{PG}/pg_basebackup", "-h", "127.0.0.1", "-p", str(self.source.port),
                           "-U", USER, "-D", self.target, "-Ft", "-X", "none", "-c", "fast", "-Z",
                           "client-zstd:level=3,workers=2"])
        own(self.target)
        yield "full", lambda: measure(command, stored=lambda: disk_bytes(self.target))

    def cleanup(self, number):
        shutil.rmtree(self.target, ignore_errors=True)

    def stop(self):
        shutil.rmtree(self.target, ignore_errors=True)
