"""The lies of a source, one row each: (place, what, {stage: act}, what one sees).

An act speaks for the server at its stage, act(talk, kind, body), with what fake_postgres.Talk offers.
REFUSED: the call, job or stream fails with a reason of its own. HARMLESS: it is taken for what it is
and nothing fails. EITHER: both are right, for example because a value is cut or unknown.
"""

from dataclasses import dataclass

import pgmessages as pg
from fake_postgres import SmallBackup

REFUSED, HARMLESS, EITHER = "refused", "harmless", "refused or harmless"
MIB = 1 << 20
CONTROL = "bell\a esc\x1b[2J\x1b]0;x\a del\x7f c1\u009b nul? bidi\u202egnp\u2066 zero\u200bwidth\ufeff"
BROKEN = b"latin1 \xe9\xe8 lone \x80\xbf overlong \xc0\xaf surrogate \xed\xa0\x80 cut \xf0\x9f\x98"
HUGE = "9223372036854775807"
PHASES = {  # where a stage is met: at cluster add, at a reconnect, in a backup
    **{stage: ("add", "reconnect", "backup")
       for stage in ("accept", "tls", "auth", "params", "ready")},
    **{stage: ("add", "reconnect") for stage in ("identify", "segment")},
    **{stage: ("add",) for stage in ("level", "show", "count", "role", "size")},
    "clock": ("add", "backup"), "backup": ("backup",),
    **{stage: ("reconnect",) for stage in ("start", "wal", "keepalive", "history",
                                                 "slot-make", "slot-read")},
}


@dataclass(frozen=True)
class Lie:
    place: str
    what: str
    acts: dict
    sees: str
    only: tuple = ()  # phases in which it counts; () is all that meet its stage

    @property
    def phases(self):
        """By its last stage: those before it only lead there."""
        return self.only or PHASES[list(self.acts)[-1]]

    def __hash__(self):
        return hash((self.place, self.what))


def made(data, talk):
    return data(talk) if callable(data) else data


def says(data=b""):
    """These bytes, and the connection ends."""
    def act(talk, _kind, _body):
        talk.send(made(data, talk))
        talk.end()
    return act


def says_and_waits(data=b""):
    def act(talk, _kind, _body):
        talk.send(made(data, talk))
        talk.hush()
    return act


def answers(data):
    """A whole answer, and the connection goes on."""
    def act(talk, _kind, _body):
        talk.answer(made(data, talk))
    return act


def adds(data):
    """These bytes before the truth."""
    def act(talk, _kind, _body):
        talk.send(made(data, talk))
        return True
    return act


def endless(data, first=b"", pause=0.0):
    def act(talk, _kind, _body):
        talk.send(made(first, talk))
        talk.endless(made(data, talk), pause=pause)
    return act


def slow(data):
    def act(talk, _kind, _body):
        talk.slow(made(data, talk))
    return act


def reset(talk, _kind, _body):
    talk.reset()


def half_close(talk, _kind, _body):
    talk.half_close()


def backup(change):
    """An honest small backup but for what change(its parts, talk) does."""
    def act(talk, _kind, _body):
        parts = SmallBackup(talk)
        change(parts, talk)
        talk.send(parts.bytes())
    return act


def part(name, value):
    return backup(lambda parts, talk: setattr(parts, name, made(value, talk)))


def member(*tar):
    """One more member, before the honest rest."""
    return backup(lambda parts, talk: parts.members.insert(1, b"".join(tar)))


def archive(data):
    """The COPY of the backup as these bytes."""
    def act(talk, _kind, _body):
        parts = SmallBackup(talk)
        talk.send(parts.start + parts.spaces + made(data, talk) + parts.end
                  + pg.complete("BASE_BACKUP") + pg.ready())
    return act


def stops_after(field, end=lambda talk: talk.end()):
    """Parts of a backup up to this one, and then end."""
    def act(talk, _kind, _body):
        parts = SmallBackup(talk)
        order = {"start": parts.start, "spaces": parts.spaces, "archive": parts.archive()}
        for name, data in order.items():
            talk.send(data)
            if name == field:
                end(talk)
    return act


def identity(system=None, timeline="1", lsn=None):
    """IDENTIFY_SYSTEM; None is the truth."""
    def data(talk):
        true = pg.ask(talk.fake.upstream,
                      "select system_identifier || ' ' || pg_current_wal_flush_lsn() "
                      "from pg_control_system()").split()
        return pg.rows((system or true[0], timeline, lsn or true[1], None),
                       names=["systemid", "timeline", "xlogpos", "dbname"])
    return data


def at_position(build):
    """Bytes made from the LSN that the stream has reached."""
    return lambda talk: build(talk.position)


def changing_system():
    """Another system at every second question."""
    seen = [0]

    def act(talk, _kind, _body):
        seen[0] += 1
        talk.answer(identity(str(7000000000000000000 + seen[0]))(talk))
    return act


# Rows that are made for several stages: everything that can be wrong with an answer as such.
def answer_lies(place, stage):
    empty = EITHER if stage == "slot-make" else REFUSED  # nobody reads what it says of a slot
    yield place, "no rows", {stage: answers(pg.row_description(["a"]) + pg.complete())}, empty
    yield place, "an empty query", {stage: answers(pg.message(b"I"))}, empty
    yield place, "CopyBoth instead of rows", {stage: says_and_waits(pg.copy_begin(b"W"))}, REFUSED
    yield place, "CopyIn instead of rows", {stage: says_and_waits(pg.copy_begin(b"G"))}, REFUSED
    yield place, "an endless CopyOut", {
        stage: endless(pg.copy_data(b"x" * 65536), pg.copy_begin(b"H"))}, REFUSED
    yield place, "a cell of 70 MiB", {
        stage: answers(lambda talk: pg.rows((b"x" * (70 * MIB), "1", "0/1")))}, REFUSED
    yield place, "rows without end", {
        stage: endless(pg.data_row(["1", "1", "0/1"]) * 2000,
                       pg.row_description(["a", "b", "c"]))}, REFUSED
    yield place, "twelve errors of 3 MB", {
        stage: answers(lambda talk: pg.error(b"e" * 3_000_000) * 12)}, REFUSED
    yield place, "an error in no encoding", {stage: answers(pg.error(BROKEN))}, REFUSED
    yield place, "an error with control and bidi characters", {
        stage: answers(pg.error(CONTROL, D=CONTROL))}, REFUSED
    yield place, "silence", {stage: says_and_waits()}, REFUSED
    yield place, "one byte a second", {stage: slow(pg.rows(("1", "1", "0/1")))}, REFUSED
    yield place, "a reset connection", {stage: reset}, REFUSED
    yield place, "a half-closed connection", {stage: half_close}, REFUSED
    yield place, "cut in a row", {
        stage: says(pg.row_description(["a"]) + pg.data_row(["abc"])[:9])}, REFUSED
    yield place, "notices without end", {stage: endless(pg.notice("n" * 60000))}, REFUSED


CONNECT = [
    ("connect", "closes at once", {"accept": says()}, REFUSED),
    ("connect", "resets at once", {"accept": reset}, REFUSED),
    ("connect", "never says a word", {"accept": says_and_waits()}, REFUSED),
    ("connect", "closes its half", {"accept": half_close}, REFUSED),
    ("connect", "is an HTTP server", {"accept": says(b"HTTP/1.1 400 Bad Request\r\n\r\n")}, REFUSED),
    ("connect", "zeros without end", {"accept": endless(b"\0" * 65536)}, REFUSED),
    ("connect", "an error of 3 MB before a word", {
        "accept": says(pg.error(b"x" * 3_000_000, "57P03", "FATAL"))}, REFUSED),
    # Without TLS libpq tries again in plain text, as sslmode=prefer says.
    ("TLS", "neither yes nor no", {"tls": says(b"X")}, REFUSED),
    ("TLS", "no answer", {"tls": says_and_waits()}, REFUSED),
    ("TLS", "yes, then garbage", {"tls": says(b"S" + bytes(range(256)) * 16)}, EITHER),
    ("TLS", "yes, then the end", {"tls": says(b"S")}, EITHER),
    ("TLS", "yes, then half a record for ever", {"tls": slow(b"S\x16\x03\x03\x40\x00" + b"\2" * 99)},
     EITHER),
    ("TLS", "yes, with plain text behind it", {
        "tls": says(b"S" + pg.auth(0) + pg.ready())}, EITHER),
    ("TLS", "no, with a whole greeting behind it", {
        "tls": says(b"N" + pg.auth(0) + pg.parameter("server_version", "15") + pg.ready())},
     REFUSED),
    ("TLS", "an old-style error without end", {"tls": endless(b"E" * 65536)}, REFUSED),
]
AUTH = [
    ("authentication", what, {"auth": act}, REFUSED) for what, act in (
        ("an unknown method", says(pg.auth(99))),
        ("GSS goes on before it began", says(pg.auth(8, b"x" * 99))),
        ("SSPI", says(pg.auth(9))),
        ("a length of -1", says(pg.lying(b"R", -1, b"\0\0\0\0"))),
        ("a length of 0", says(pg.lying(b"R", 0, b"\0\0\0\0"))),
        ("a length of 3", says(pg.lying(b"R", 3, b"\0\0\0\0"))),
        ("a length of 2^31-1, and bytes without end",
         endless(b"\0" * 65536, pg.lying(b"R", 2**31 - 1))),
        ("an error's length of 1 GiB, and bytes without end",
         endless(b"M" * 65536, pg.lying(b"E", 1 << 30))),
        ("SASL without a mechanism", says(pg.auth(10, b"\0"))),
        ("SASL with an unknown mechanism", says(pg.auth(10, b"SCRAM-MD2\0\0"))),
        ("SASL with 100,000 mechanisms", says(lambda talk: pg.auth(10, b"X-A\0" * 100_000 + b"\0"))),
        ("SASL mechanisms that do not end", says(pg.auth(10, b"SCRAM-SHA-256"))),
        ("SASL ends before it began", says(pg.auth(12, b"v=AAAA"))),
        ("MD5 without salt", says(pg.auth(5))),
        ("an error of 3 MB", says(lambda talk: pg.error(b"e" * 3_000_000, "28000", "FATAL"))),
        ("twelve errors of 3 MB",
         says(lambda talk: pg.error(b"e" * 3_000_000, "28000", "FATAL") * 12)),
        ("an error in no encoding", says(pg.error(BROKEN, "28000", "FATAL"))),
        ("an error with control and bidi characters", says(pg.error(CONTROL, "28000", "FATAL"))),
        ("an error without fields", says(pg.message(b"E", b"\0"))),
        ("an error that does not end", says(pg.message(b"E", b"SFATAL\0Mnever"))),
        ("an error with an SQLSTATE of 9000 bytes",
         says(pg.error("x", "2" * 9000, "FATAL"))),
        ("an error that repeats the password", says(
            lambda talk: pg.error(f"no {talk.fake.password}! {talk.fake.password.upper()} "
                                  + "x" * 1980 + talk.fake.password, "28000", "FATAL"))),
        ("notices without end", endless(pg.notice("n" * 60000))),
        ("a version to negotiate with 2^31 options", says(
            pg.message(b"v", b"\0\3\0\0\x7f\xff\xff\xff"))),
        ("a row instead", says(pg.data_row(["1"]))),
        ("one byte a second", slow(pg.auth(0))),
        ("silence", says_and_waits()),
        ("a reset connection", reset))
]


def scram(change):
    """A SCRAM exchange with its second message changed."""
    def act(talk, _kind, _body):
        talk.send(pg.auth(10, b"SCRAM-SHA-256\0\0"))
        initial = pg.read_message(talk.client)[1].split(b"\0", 1)[1][4:]
        proof = pg.Scram(talk.fake.password)
        talk.send(pg.auth(11, change(proof.first(initial))))
        pg.read_message(talk.client)
        talk.send(pg.auth(12, b"v=" + b"A" * 43 + b"=") + pg.auth(0) + pg.ready())
        talk.end()
    return act


AUTH += [
    ("authentication", what, {"auth": scram(change)}, REFUSED) for what, change in (
        ("SCRAM with 2^31-1 iterations", lambda m: m[:m.rindex(b"i=")] + b"i=2147483647"),
        ("SCRAM with 0 iterations", lambda m: m[:m.rindex(b"i=")] + b"i=0"),
        ("SCRAM with -1 iterations", lambda m: m[:m.rindex(b"i=")] + b"i=-1"),
        ("SCRAM with a nonce of its own", lambda m: b"r=mine" + m[m.index(b",s="):]),
        ("SCRAM with salt that is no base64", lambda m: m[:m.index(b",s=")] + b",s=$$$,i=4096"),
        ("SCRAM with salt of 1 MiB", lambda m: m[:m.index(b",s=")] + b",s=" + b"A" * MIB
         + b",i=4096"),
        ("SCRAM with a signature that is not ours", lambda m: m))
]
PARAMETERS = [
    ("parameters", what, {"params": act}, sees,
     ("add",) if what.startswith(("version", "a version")) else ()) for what, act, sees in (
        ("parameters without end", endless(pg.parameter("a", "b" * 60000)), REFUSED),
        ("new names without end", lambda talk, kind, body: talk_names(talk), REFUSED),
        ("a value of 3 MB", adds(lambda talk: pg.parameter("TimeZone", b"z" * 3_000_000)), EITHER),
        ("a name that does not end", says(pg.message(b"S", b"abc")), REFUSED),
        ("version 999999", adds(pg.parameter("server_version", "999999")), REFUSED),
        ("version -1", adds(pg.parameter("server_version", "-1")), REFUSED),
        ("version 2147483647.9", adds(pg.parameter("server_version", "2147483647.9")), REFUSED),
        ("version 13.2", adds(pg.parameter("server_version", "13.2")), REFUSED),
        ("version 9.6.1", adds(pg.parameter("server_version", "9.6.1")), REFUSED),
        ("a version of letters", adds(pg.parameter("server_version", CONTROL)), REFUSED),
        ("an encoding that nobody knows", adds(pg.parameter("client_encoding", "KLINGON")), EITHER),
        ("an encoding of two bytes", adds(pg.parameter("client_encoding", "SJIS")), EITHER),
        ("values in no encoding", adds(pg.parameter("in_hot_standby", BROKEN)), EITHER),
        ("a key that is cut", says(pg.message(b"K", b"\0\0")), REFUSED),
        ("a key of 70 MiB", says(lambda talk: pg.message(b"K", b"\0" * (70 * MIB))), REFUSED),
        ("notices without end", endless(pg.notice("n" * 60000)), REFUSED),
        ("silence", says_and_waits(), REFUSED))
]
READY = [
    ("greeting", what, {"ready": act}, sees) for what, act, sees in (
        ("ready in an unknown state", adds(pg.ready(b"X")), EITHER),
        ("ready with a length of 100", says_and_waits(pg.lying(b"Z", 100, b"I")), REFUSED),
        ("rows nobody asked for", adds(pg.rows(("1", "2"))), EITHER),
        ("a COPY nobody asked for", adds(pg.copy_begin(b"G")), EITHER),
        ("notifications without end", endless(pg.message(b"A", b"\0\0\0\1a\0" + b"b" * 999 + b"\0")),
         REFUSED),
        ("types that do not exist", adds(b"".join(pg.message(bytes([kind]))
                                                  for kind in (1, 0x21, 0x7f, 0xff))), EITHER),
        ("ready a thousand times", adds(pg.ready() * 1000), EITHER))
]


def talk_names(talk):
    """A new ParameterStatus each time: libpq keeps them all."""
    number = 0
    while talk.is_lying() and number < 3000:
        talk.send(b"".join(pg.parameter(f"p{number}_{i}", "v" * 1000) for i in range(60)))
        number += 1
    talk.hush()


SYSTEM = [
    ("IDENTIFY_SYSTEM", what, {"identify": answers(data)}, sees) for what, data, sees in (
        ("two rows", lambda talk: pg.rows(("1", "1", "0/1"), ("1", "1", "0/1")), REFUSED),
        ("two columns", lambda talk: pg.rows(("1", "1")), REFUSED),
        ("all NULL", lambda talk: pg.rows((None, None, None, None)), REFUSED),
        ("timeline 0", identity(timeline="0"), REFUSED),
        ("timeline -1", identity(timeline="-1"), REFUSED),
        ("timeline 2^32-1", identity(timeline="4294967295"), REFUSED),
        ("timeline 2^32", identity(timeline="4294967296"), REFUSED),
        ("a timeline of letters", identity(timeline="one"), REFUSED),
        ("LSN 0/0", identity(lsn="0/0"), EITHER),
        ("LSN FFFFFFFF/FFFFFFFF", identity(lsn="FFFFFFFF/FFFFFFFF"), EITHER),
        ("LSN of letters", identity(lsn="here"), REFUSED),
        ("LSN going backwards", identity(lsn="0/1000028"), EITHER),
        ("a system of control characters", identity(system=CONTROL), REFUSED),
        ("a system in no encoding", identity(system=BROKEN), REFUSED),
        ("a system of 3 MB", lambda talk: identity(system="7" * 3_000_000)(talk), REFUSED),
        ("a system that is empty", lambda talk: pg.rows(("", "1", "0/1000000", None)), REFUSED),
        ("65,535 columns", lambda talk: pg.rows(["x"] * 65535), REFUSED),
        ("more cells than columns", lambda talk: pg.row_description(["a"])
         + pg.data_row(["1", "2", "3"]) + pg.complete(), REFUSED),
        ("a cell of length -2", lambda talk: pg.row_description(["a"])
         + pg.message(b"D", b"\0\1\xff\xff\xff\xfe") + pg.complete(), REFUSED),
        ("a cell beyond its message", lambda talk: pg.row_description(["a"])
         + pg.message(b"D", b"\0\1\x7f\xff\xff\xffabc") + pg.complete(), REFUSED))
] + [
    ("IDENTIFY_SYSTEM", "another system at each connection", {"identify": changing_system()}, EITHER),
    ("IDENTIFY_SYSTEM", "a row of 1 GiB that never ends", {
        "identify": endless(b"\0" * 65536, pg.row_description(["a"]) + pg.lying(b"D", 1 << 30))},
     REFUSED),
    ("IDENTIFY_SYSTEM", "answers twice", {
        "identify": answers(lambda talk: identity()(talk) + pg.ready() + identity()(talk))}, EITHER),
]
SETTINGS = [
    ("settings", f"wal_segment_size of {what}", {"segment": answers(pg.rows((value,)))}, REFUSED)
    for what, value in (("0", "0"), ("3", "3"), ("1 TB", "1TB"), ("-16MB", "-16MB"), ("nothing", ""),
                        ("NULL", None), ("2^64", "18446744073709551616"), ("words", CONTROL),
                        ("3 MB", "1" * 3_000_000))
] + [
    ("settings", "wal_level minimal", {"level": answers(pg.rows(("minimal",)))}, REFUSED),
    ("settings", "a wal_level of 70 MiB", {
        "level": answers(lambda talk: pg.rows((b"r" * (70 * MIB),)))}, REFUSED),
    ("settings", "every setting with control characters", {
        "show": answers(pg.rows((CONTROL,)))}, EITHER),
    ("settings", "every setting in no encoding", {"show": answers(pg.rows((BROKEN,)))}, EITHER),
    ("settings", "every setting of 3 MB", {
        "show": answers(lambda talk: pg.rows((b"s" * 3_000_000,)))}, EITHER),
    ("settings", "every setting 2^63-1", {"show": answers(pg.rows((HUGE,)))}, EITHER),
    ("settings", "every setting 99999999999999TB", {
        "show": answers(pg.rows(("99999999999999TB",)))}, EITHER),
    ("settings", "every count 2^63-1", {"count": answers(pg.rows((HUGE,)))}, EITHER),
    ("settings", "every count -2^63", {"count": answers(pg.rows(("-9223372036854775808",)))}, EITHER),
    ("settings", "a role of letters", {"role": answers(pg.rows(("maybe",)))}, EITHER),
    ("settings", "a size of 2^63-1", {"size": answers(pg.rows((HUGE,)))}, EITHER),
    ("settings", "a size of -2^63", {"size": answers(pg.rows(("-9223372036854775808",)))}, EITHER),
] + [
    ("clock", what, {"clock": answers(pg.rows((value,)))}, EITHER) for what, value in (
        ("the year 10000", "253402300800000000"), ("the year 11476", "300000000000000000"),
        ("4713 before Christ", "-210866803200000000"), ("2^63-1", HUGE),
        ("-2^63", "-9223372036854775808"), ("letters", "noon"), ("NULL", None))
]
SLOTS = [
    ("slot", "exists, whatever it is called", {
        "slot-make": answers(pg.error("replication slot exists", "42710"))}, EITHER),
    ("slot", "none is free", {"slot-make": answers(pg.error("all slots in use", "53400"))}, EITHER),
    ("slot", "was invalidated", {
        "slot-make": answers(pg.error("can no longer get changes from slot", "55000"))}, EITHER),
    ("slot", "a restart LSN of letters", {
        "slot-make": answers(pg.error("exists", "42710")),
        "slot-read": answers(pg.rows(("physical", "x", "y")))}, EITHER),
]
# A later timeline that came with a believable history, and then its lie.
HISTORY = [
    ("history", what, {"identify": answers(identity(timeline=timeline)), "history": answers(data)},
     REFUSED) for what, timeline, data in (
         ("none", "2", pg.row_description(["a", "b"]) + pg.complete()),
         ("of 70 MiB", "2", lambda talk: pg.rows(("00000002.history", b"1\t0/1\tx\n" * (9 * MIB)))),
         ("of a million lines", "2", lambda talk: pg.rows(
             ("00000002.history", b"1\t0/1\tx\n" * 1_000_000))),
         ("that is no text", "2", pg.rows(("00000002.history", BROKEN))),
         ("with NULs", "2", pg.rows(("00000002.history", b"1\t0/1\t\0\0\0\n"))),
         ("of itself", "2", pg.rows(("00000002.history", b"2\t0/5000000\tloop\n"))),
         ("of a later one", "2", pg.rows(("00000002.history", b"9\t0/5000000\tlater\n"))),
         ("with LSN FFFFFFFF/FFFFFFFF", "2", pg.rows(
             ("00000002.history", b"1\tFFFFFFFF/FFFFFFFF\tend\n"))),
         ("that goes backwards", "4", pg.rows(
             ("00000004.history", b"1\t0/9000000\ta\n2\t0/1000000\tb\n3\t0/2000000\tc\n"))),
         ("of timeline 2^32-1", "4294967295", pg.rows(
             ("FFFFFFFF.history", b"4294967294\t0/1000000\tx\n"))),
         ("in two rows", "2", pg.rows(("a", "1\t0/1\tx\n"), ("b", "1\t0/1\tx\n"))))
]


def end_of_timeline(timeline, lsn):
    return answers(pg.rows((timeline, lsn), names=["next_tli", "next_tli_startpos"]))


STREAM = [
    ("START_REPLICATION", what, {"start": act}, REFUSED) for what, act in (
        ("timeline ends at once, 2 is next", end_of_timeline("2", "0/3000000")),
        ("timeline ends at once, the same is next", end_of_timeline("1", "0/3000000")),
        ("timeline ends at once, 0 is next", end_of_timeline("0", "0/3000000")),
        ("timeline ends at once, 2^32-1 is next", end_of_timeline("4294967295", "0/3000000")),
        ("timeline ends nowhere", end_of_timeline("2", "nowhere")),
        ("timeline ends at FFFFFFFF/FFFFFFFF", end_of_timeline("2", "FFFFFFFF/FFFFFFFF")),
        ("WAL is always removed", answers(pg.error("requested WAL segment has already been removed",
                                                   "58P01"))),
        ("the slot is always lost", answers(pg.error("slot was invalidated", "55000"))),
        ("CopyIn instead", says_and_waits(pg.copy_begin(b"G"))),
        ("CopyOut without end instead",
         endless(pg.copy_data(b"w" * 65536), pg.copy_begin(b"H"))),
        ("ends its stream at once", answers(pg.copy_begin(b"W") + pg.COPY_DONE + pg.complete())),
        ("ends its stream at once for timeline 2", answers(
            pg.copy_begin(b"W") + pg.COPY_DONE + pg.rows(("2", "0/3000000")) + pg.complete())),
        ("silence", says_and_waits()),
        ("a reset connection", reset),
        ("twelve errors of 3 MB", answers(lambda talk: pg.error(b"e" * 3_000_000) * 12)))
] + [("START_REPLICATION", "silence in the stream", {
    "start": says_and_waits(pg.copy_begin(b"W"))}, EITHER)]
WAL = [
    ("WAL stream", what, {"keepalive": act}, EITHER) for what, act in (
        ("WAL at LSN 0", says_and_waits(pg.wal(0, b"x" * 8192))),
        ("WAL at LSN 2^64-1", says_and_waits(pg.wal(2**64 - 1, b"x" * 8192))),
        ("WAL at LSN 2^64-8192", says_and_waits(pg.wal(2**64 - 8192, b"x" * 8192))),
        ("WAL going backwards", says_and_waits(at_position(
            lambda lsn: pg.wal(lsn - 8192, b"\xaa" * 4096)))),
        ("WAL overlapping what was sent, with other bytes", says_and_waits(at_position(
            lambda lsn: pg.wal(lsn - 100, b"\x55" * 8192)))),
        ("WAL far ahead", says_and_waits(at_position(
            lambda lsn: pg.wal(lsn + (1 << 40), b"x" * 8192)))),
        ("WAL that is not aligned", says_and_waits(at_position(
            lambda lsn: pg.wal(lsn + 1, b"x" * 3)))),
        ("WAL of zeros for 16 MiB", says_and_waits(at_position(
            lambda lsn: b"".join(pg.wal(lsn + at, b"\0" * 131072)
                                 for at in range(0, 16 * MIB, 131072))))),
        ("a WAL message of 64 MiB", says_and_waits(at_position(
            lambda lsn: pg.wal(lsn, b"z" * (64 * MIB))))),
        ("WAL messages without bytes, without end", endless(pg.wal(0) * 1000, pause=0.01)),
        ("WAL that ends at 2^64-1", says_and_waits(at_position(
            lambda lsn: pg.wal(lsn, b"x" * 100, end=2**64 - 1)))),
        ("a header that is cut", says_and_waits(pg.copy_data(b"w\0\0\0"))),
        ("a message without bytes", says_and_waits(pg.message(b"d"))),
        ("a message of an unknown kind", says_and_waits(pg.copy_data(b"z" * 50))),
        ("a message of 1 GiB that never ends",
         endless(b"\0" * 65536, pg.lying(b"d", 1 << 30, b"w"))),
        ("a message with a length of 2", says_and_waits(pg.lying(b"d", 2, b"w" * 99))),
        ("rows in the stream", says_and_waits(pg.rows(("1", "2")))),
        ("notices without end", endless(pg.notice("n" * 60000))),
        ("twelve errors of 3 MB", says(lambda talk: pg.error(b"e" * 3_000_000) * 12)),
        ("an error in no encoding", says(pg.error(BROKEN))),
        ("one byte a second", slow(pg.wal(1 << 24, b"x" * 99))),
        ("a reset connection", reset),
        ("a half-closed connection", half_close),
        ("timeline ends, 2 is next", answers(at_position(
            lambda lsn: pg.COPY_DONE + pg.rows(("2", pg.lsn_text(lsn))) + pg.complete()))),
        ("timeline ends, the same is next", answers(at_position(
            lambda lsn: pg.COPY_DONE + pg.rows(("1", pg.lsn_text(lsn))) + pg.complete()))),
        ("the connection ends at each sign of life", says()))
] + [
    ("keepalive", what, {"keepalive": act}, EITHER) for what, act in (
        ("asks for a reply, without end", endless(at_position(
            lambda lsn: pg.keepalive(lsn, 1) * 500), pause=0.01)),
        ("LSN 2^64-1", adds(pg.keepalive(2**64 - 1))),
        ("LSN 0", adds(pg.keepalive(0))),
        ("the year 10000", adds(at_position(
            lambda lsn: pg.keepalive(lsn, unix_us=253402300800000000)))),
        ("time 2^63-1", adds(at_position(lambda lsn: pg.keepalive(lsn, unix_us=2**63 - 1)))),
        ("time -2^63", adds(at_position(lambda lsn: pg.keepalive(lsn, unix_us=-(2**63))))),
        ("time of 4713 before Christ", adds(at_position(
            lambda lsn: pg.keepalive(lsn, unix_us=-210866803200000000)))),
        ("a message that is cut", says_and_waits(pg.copy_data(b"k\0\0"))))
]
