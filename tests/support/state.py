"""The private state database of an installation, for tests that look into it or change it.

Nobody but the servers' user can connect, as three roles that own nothing, and the superuser cannot log
in. `open_state` stops the database and makes one of the three a superuser in single-user mode, which
needs what only a test has: the machine.
"""

import os
import signal

from support import proc

ROLE = "holdfast_migrate"


def as_owner(path):
    """Prefix of a command that runs as the owner of a path."""
    state = os.stat(path)
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={state.st_uid}", f"--regid={state.st_gid}", "--clear-groups", "--"]


class State:
    """psql on the state database of an installation (support.holdfast.Holdfast)."""

    def __init__(self, house):
        self.house = house
        self.prefix = as_owner(house.folder)

    def dsn(self, *_):
        return f"host={self.house.path('run')} user={ROLE} dbname=holdfast"

    def psql(self, sql, check=True):
        return proc.run([*self.prefix, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d",
                         self.dsn(), "-c", sql], cwd="/", check=check).stdout.strip()


def open_state(house):
    """Gives State with every right. The servers stay; PostgreSQL is started again by the supervisor."""
    pids = house.note_processes()
    command = proc.command_line(pids["postgres"])
    proc.send(pids["supervisor"], signal.SIGSTOP)
    try:
        proc.send(pids["postgres"], signal.SIGINT)
        proc.wait_until(lambda: not proc.is_alive(pids["postgres"]), what="end of PostgreSQL")
        proc.run([*as_owner(house.folder), command[0], "--single", "-D", house.path("pg"), "holdfast"],
                 stdin=f"ALTER ROLE {ROLE} SUPERUSER\n", cwd="/")
    finally:
        proc.send(pids["supervisor"], signal.SIGCONT)
    state = State(house)
    proc.wait_until(lambda: state.psql("select 1", check=False) == "1", what="the state database")
    proc.wait_until(lambda: house.run("cluster", "list", check=False).returncode == 0,
                    what="the service on its database")
    house.note_processes()
    return state
