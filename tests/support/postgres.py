"""A private PostgreSQL server on a Unix socket and a loopback port."""

import contextlib
import os
import shutil
import signal
import subprocess

from support import proc

PASSWORD = "tell nobody"
SETTINGS = {
    "wal_level": "replica", "max_wal_senders": 10, "max_replication_slots": 10,
    "max_connections": 60, "max_slot_wal_keep_size": "2GB", "shared_buffers": "32MB",
    "listen_addresses": "127.0.0.1", "fsync": "off", "timezone": "UTC", "log_timezone": "UTC",
    "dynamic_shared_memory_type": "mmap",  # a killed server would leave its segments in /dev/shm
    "password_encryption": "scram-sha-256", "jit": "off", "log_line_prefix": "%m [%p] %a ",
}
HBA = """local all all trust
local replication all trust
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
"""
DEBIAN_BIN = "/usr/lib/postgresql/15/bin"


def bin_of(version):
    return DEBIAN_BIN if version == 15 else proc.part(f"postgresql{version}")


class Postgres:
    """One data directory and the server on it.

    The superuser `postgres` and the role `holdfast` (REPLICATION, pg_read_all_settings) enter by
    the socket without a password; over TCP the password is PASSWORD for both.
    """

    def __init__(self, folder, *, version=15, data=None, **settings):
        self.folder = folder
        self.version = version
        self.bin = bin_of(version)
        self.port = proc.free_port()
        self.data = data or os.path.join(folder, "data")
        self.log = os.path.join(folder, "server.log")
        self.settings = {**SETTINGS, **settings}
        self.process = None
        proc.give_to_server_user(folder)

    # Where it is.
    def dsn(self, user="holdfast", dbname="postgres"):
        return f"host={self.folder} port={self.port} user={user} dbname={dbname}"

    def tcp_dsn(self, user="holdfast", dbname="postgres"):
        return f"host=127.0.0.1 port={self.port} user={user} dbname={dbname}"

    def has_tool(self, name):
        """Whether this version's programs include it: PostgreSQL 14 comes as a bare server."""
        return os.path.exists(os.path.join(self.bin, name))

    def tool(self, name, *words, **options):
        """Runs a program of this server's version, or Debian's, as the server's user."""
        folder = self.bin if self.has_tool(name) else DEBIAN_BIN
        return proc.run([*proc.unprivileged(), os.path.join(folder, name), *words],
                        cwd="/tmp", **options)

    # Life.
    def create(self, template=None, options=("-k",)):
        """initdb with these options, or a copy of a data directory that initdb made."""
        if template:
            shutil.copytree(template, self.data, symlinks=True)
            for parent, folders, files in os.walk(self.data):
                for name in [*folders, *files]:
                    proc.give_to_server_user(os.path.join(parent, name))
            proc.give_to_server_user(self.data)
            os.chmod(self.data, 0o700)
        else:
            self.tool("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", *options, "-N",
                      "--locale=C.UTF-8", "--encoding=UTF8")
        with open(os.path.join(self.data, "pg_hba.conf"), "w", encoding="utf-8") as file:
            file.write(HBA)
        return self

    def start(self, timeout=60, wait=True):
        options = [word for name, value in self.settings.items()
                   for word in ("-c", f"{name}={value}")]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*proc.unprivileged(), os.path.join(self.bin, "postgres"), "-D", self.data,
                 "-p", str(self.port), "-k", self.folder, *options],
                cwd="/tmp", stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if wait:
            proc.wait_until(self.is_ready, timeout=timeout, what=f"server in {self.data}")
        return self

    def is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"postgres ended with {self.process.returncode}\n"
                                 f"{self.log_text()[-3000:]}")
        return self.tool("pg_isready", "-q", "-h", self.folder, "-p", self.port,
                         check=False).returncode == 0

    def add_roles(self):
        self.psql(f"alter role postgres password '{PASSWORD}'; create role holdfast login "
                  f"replication password '{PASSWORD}'; grant pg_read_all_settings to holdfast")
        return self

    def stop(self, sign=signal.SIGINT, timeout=60):
        """Fast shutdown; SIGQUIT is immediate, SIGTERM smart."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(sign)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        self.process = None

    def kill(self):
        """kill -9 of the server and all its processes."""
        if self.process and self.process.poll() is None:
            proc.kill_tree(self.process.pid)
            self.process.wait(20)
        self.process = None

    def restart(self, **settings):
        self.stop()
        self.settings.update(settings)
        return self.start()

    def destroy_data(self):
        """What a burnt machine leaves: nothing."""
        self.kill()
        shutil.rmtree(self.data)

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    # Use.
    def psql(self, sql, *, user="postgres", dbname="postgres", check=True, timeout=120):
        """Runs SQL, gives its rows as text with | between columns."""
        return proc.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d",
                         self.dsn(user, dbname)], stdin=sql, check=check,
                        timeout=timeout).stdout.strip()

    def pgbench(self, *words, dbname="postgres", check=True, timeout=300):
        return proc.run(["/usr/lib/postgresql/15/bin/pgbench", "-h", self.folder, "-p", self.port,
                         "-U", "postgres", *words, dbname], check=check, timeout=timeout)

    def pgbench_start(self, *words, dbname="postgres"):
        """A load that runs until the caller ends it."""
        return subprocess.Popen(
            [os.path.join(DEBIAN_BIN, "pgbench"), "-n", "-h", self.folder, "-p", str(self.port),
             "-U", "postgres", *[str(word) for word in words], dbname],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def lsn(self):
        return self.psql("select pg_current_wal_lsn()")

    def standby(self, folder, **settings):
        """A streaming standby of this server, not started yet."""
        other = Postgres(folder, version=self.version, **{**settings, "hot_standby": "on"})
        self.tool("pg_basebackup", "-d", self.dsn("postgres"), "-D", other.data, "-R", "-X",
                  "stream", "-c", "fast")
        return other

    def promote(self):
        self.psql("select pg_promote(true, 60)")


@contextlib.contextmanager
def running_servers(templates):
    """start(version=15, wal_level=…, …) → a running server, ended with the block."""
    servers = []

    def start(version=15, **settings):
        server = Postgres(proc.new_folder("hf-pg-"), version=version, **settings)
        servers.append(server)
        return server.create(templates(version)).start().add_roles()

    try:
        yield start
    finally:
        for server in servers:
            server.kill()
            proc.remove_folder(server.folder)
