"""The programs under test: one directory of `holdfast up` and the command line on it."""

import contextlib
import json
import os

from support import proc


def bin_folder():
    return os.environ.get("HOLDFAST_BIN", os.path.join(proc.ROOT, "build", "bin"))


class Holdfast:
    """`holdfast up --dir DIR`, its command line and its processes."""

    def __init__(self, folder):
        self.folder = folder
        self.program = os.path.join(bin_folder(), "holdfast")
        self.prefix = []  # of each command: to run it as another user
        self.env = {**{key: value for key, value in os.environ.items()
                       if not key.startswith(("PG", "HOLDFAST_"))},
                    "HOLDFAST_DIR": folder}
        self.pids = {}

    # The command line.
    def run(self, *words, check=True, timeout=180, stdin="", env=None):
        """Runs `holdfast WORDS…` as it stands; the result has returncode, stdout, stderr."""
        return proc.run([*self.prefix, self.program, *words], check=check, timeout=timeout, stdin=stdin,
                        env={**self.env, **(env or {})})

    def hf(self, *words, **options):
        """Runs `holdfast WORDS… -o json` and gives what it printed, decoded."""
        text = self.run(*words, "-o", "json", **options).stdout
        return json.loads(text) if text.strip() else None

    def fails(self, code, *words, **options):
        """Runs a command that must end with this exit code; gives its standard error."""
        done = self.run(*words, check=False, **options)
        assert done.returncode == code, (
            f"holdfast {' '.join(map(str, words))}: exit code {done.returncode}, expected {code}\n"
            f"{done.stdout}{done.stderr}")
        return done.stderr

    # Life.
    def up(self, timeout=90):
        self.run("up", "--dir", self.folder, timeout=timeout)
        self.note_processes()
        return self

    def note_processes(self):
        """Remembers the pids, so that what is left can be ended whatever happens."""
        self.pids = {item["name"]: int(item["pid"]) for item in self.info()["processes"]}
        return self.pids

    def down(self, *words):
        """`holdfast down`; whatever is left is ended by its pid."""
        done = self.run("down", *words, check=False, timeout=120)
        for pid in {*self.pids.values(), *proc.mentioning(self.folder)}:
            if proc.is_alive(pid):
                proc.end(pid)
        return done

    def kill(self, *names):
        """kill -9 of the processes with these names, all of them without names."""
        victims = [pid for name, pid in self.note_processes().items()
                   if not names or name in names]
        for pid in victims:
            proc.kill_tree(pid)
        for pid in victims:
            proc.wait_until(lambda pid=pid: not proc.is_alive(pid), what=f"end of process {pid}")

    # What it says of itself.
    def info(self):
        return self.hf("info")

    def endpoint(self, service="backup"):
        return self.info()["endpoints"][service]

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def certs(self, name="test", *words):
        """A directory of a client called name: tls.crt, tls.key, ca.crt, good for --dir, too."""
        out = f"{self.folder}-clients/{name}"
        if not os.path.isdir(out):
            # Sources of tests are on this machine: that takes an admin of the installation.
            self.run("certs", "issue", name, "--out", out,
                     *(words if "--role" in words else (*words, "--role", "installation-admin")))
        return out

    # Shorthands that every test uses.
    def add_cluster(self, name, pg, *words, **options):
        return self.hf("cluster", "add", name, "--dsn", pg.dsn(), *words, **options)

    def backup(self, name, *words, timeout=300):
        return self.hf("backup", "create", name, "--wait", *words, timeout=timeout)


@contextlib.contextmanager
def installation(prefix=()):
    """A running `holdfast up` in a directory of its own; prefix stands before each command."""
    home = proc.new_folder("hf-up-")
    holdfast = Holdfast(os.path.join(home, "dir"))
    holdfast.prefix = list(prefix)
    try:
        yield holdfast.up()
    finally:
        holdfast.down()
        proc.remove_folder(home)
