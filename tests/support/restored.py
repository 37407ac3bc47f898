"""A directory that `holdfast restore` wrote: started, and proven with PostgreSQL's own tools."""

import os

from support import proc
from support.postgres import Postgres

# Sum over rows: does not depend on their order.
DIGEST = ("select '{0}', count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) "
          "from {0} t")


def digest_sql(tables):
    return " union all ".join(DIGEST.format(table) for table in tables) + " order by 1"


class Restored(Postgres):
    """A server on a restored directory; nothing is set but where it listens."""

    def __init__(self, data, *, version=15):
        super().__init__(os.path.dirname(data), version=version, data=data)
        self.log = f"{data}.log"
        self.settings = {"listen_addresses": "", "fsync": "off"}

    def verify(self):
        """Plain pg_verifybackup: every file by the manifest, and the WAL of the backup."""
        options = [] if self.has_tool("pg_verifybackup") else ["-n"]  # another major reads no WAL
        self.tool("pg_verifybackup", "-q", *options, self.data)
        return self

    def start_promoted(self, timeout=90):
        self.start(timeout)
        proc.wait_until(lambda: self.psql("select pg_is_in_recovery()") == "f", timeout=timeout,
                        what=f"promotion of {self.data}")
        return self

    def accepts_commit(self):
        self.psql("create table accepted as select 1 as x")
        assert self.psql("select x from accepted", timeout=20) == "1"
        return self

    def check_indexes(self):
        """pg_amcheck over every database: each row in each index, each page in order."""
        self.tool("pg_amcheck", "-h", self.folder, "-p", self.port, "-U", "postgres", "--all",
                  "--install-missing", "--heapallindexed")
        return self

    def check_checksums(self):
        self.stop()
        self.tool("pg_checksums", "--check", "-D", self.data)
        return self
