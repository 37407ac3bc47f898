"""A moment of a source while a load runs: what names it, and exactly its rows."""

from support.session import Session


class Moment:
    """A state of the tables and what names it: LSN, time, transaction, restore point."""

    def __init__(self, **what):
        self.__dict__.update(what)


def moment_of_snapshot(pg, label, digest, lock):
    """Rows of an exported snapshot with its LSN and time. The lock makes them one moment: with it,
    no transaction is between its commit record and being visible."""
    with Session(pg) as holder, Session(pg) as reader:
        holder.run(f"begin isolation level repeatable read; {lock}")
        snapshot, lsn, when = holder.run(
            "select pg_export_snapshot(), pg_current_wal_insert_lsn(), clock_timestamp()"
        )[0].split("|")
        reader.run(f"begin isolation level repeatable read; set transaction snapshot '{snapshot}'")
        holder.run(f"select pg_create_restore_point('{label}')")
        holder.run("commit")  # the load goes on while the snapshot is read
        return Moment(lsn=lsn, time=when, name=label, rows="\n".join(reader.run(digest)))
