"""Open psql sessions, and writers that keep a ledger of what the server acknowledged."""

import subprocess
import threading
import time


class Session:
    """One psql that stays connected: run() sends SQL and gives its rows as lines."""

    def __init__(self, server, *, user="postgres", dbname="postgres"):
        self.process = subprocess.Popen(
            [*getattr(server, "prefix", []), "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
             "-d", server.dsn(user, dbname)], cwd="/",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, sql):
        self.process.stdin.write(f"{sql};\n\\echo end-of-rows\n")
        self.process.stdin.flush()
        rows = []
        for line in self.process.stdout:
            if line.strip() == "end-of-rows":
                return rows
            rows.append(line.rstrip("\n"))
        raise AssertionError(f"{sql}\n" + "\n".join(rows))

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(30)

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.close()


class Writer(threading.Thread):
    """Inserts (writer, 0), (writer, 1), … into ledger until the server is gone.

    acked[n] is the client's clock when the server's answer to n had been read. psql prints the row
    of `insert … returning` after CommandComplete, which follows the commit.
    """

    def __init__(self, server, number):
        super().__init__(daemon=True)
        self.number = number
        self.acked = []
        self.process = subprocess.Popen(
            ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d",
             server.dsn("postgres")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def run(self):
        try:
            while True:
                n = len(self.acked)
                self.process.stdin.write(
                    f"insert into ledger values ({self.number}, {n}) returning n;\n")
                self.process.stdin.flush()
                if self.process.stdout.readline().strip() != str(n):
                    break
                self.acked.append(time.time())
        except (BrokenPipeError, ValueError):
            pass
        self.process.kill()
        self.process.wait(30)


class Ledger:
    """Writers on one server; what they were promised, to be found again after a restore."""

    def __init__(self, server, writers=4):
        server.psql("create table ledger (writer int, n int, primary key (writer, n))")
        self.writers = [Writer(server, number) for number in range(writers)]

    def start(self):
        for writer in self.writers:
            writer.start()
        return self

    def count(self):
        return sum(len(writer.acked) for writer in self.writers)

    def join(self):
        for writer in self.writers:
            writer.join(60)
            assert not writer.is_alive(), "a writer outlived its server"

    def missing(self, server, before=float("inf")):
        """Acknowledged commits, older than a moment of the client's clock, that are not there."""
        there = set(server.psql("select writer, n from ledger").split())
        return [(writer.number, n) for writer in self.writers
                for n, moment in enumerate(writer.acked)
                if moment < before and f"{writer.number}|{n}" not in there]
