"""The lies of a source in BASE_BACKUP, as in lies.py; and LIES, all of them."""

import pgmessages as pg
from lies import (AUTH, BROKEN, CONNECT, CONTROL, EITHER, HISTORY, HUGE, MIB, PARAMETERS, READY,
                  REFUSED, SETTINGS, SLOTS, STREAM, SYSTEM, WAL, Lie, answer_lies, archive, backup,
                  endless, half_close, member, part, reset, says, says_and_waits, slow, stops_after)


def position(*cells):
    return pg.rows(cells, names=["recptr", "tli"])


def spaces(*rows):
    return pg.rows(*rows, names=["spcoid", "spclocation", "size"])


def many_spaces(count, location="/nowhere"):
    return lambda talk: spaces(*[(str(16384 + i), f"{location}/{i}", "1") for i in range(count)],
                               (None, None, "30"))


def copy(*messages):
    """A COPY of these messages; each begins with its kind."""
    return pg.copy_begin(b"H") + b"".join(pg.copy_data(one) for one in messages) + pg.COPY_DONE


def tar(*blocks):
    return b"d" + b"".join(blocks)


BASE = b"nbase.tar\0\0"
LABEL = pg.tar_member("backup_label", b"START WAL LOCATION: 0/2000028 (file 0)\n")


def one_space(name):
    """The honest archive beside one tablespace, and then an archive called name."""
    return backup(lambda parts, talk: (
        setattr(parts, "spaces", spaces(("16385", "/somewhere", "1"), (None, None, "30"))),
        setattr(parts, "archive", lambda: copy(
            BASE, tar(*parts.members, pg.TAR_END), b"n" + name + b"\0/somewhere\0",
            tar(pg.tar_member("PG_15_202209061", kind=b"5"), pg.TAR_END)))))


def endless_member(talk, _kind, _body):
    talk.send(pg.rows(("0/2000028", "1")) + spaces((None, None, "1")))
    talk.send(pg.copy_begin(b"H") + pg.copy_data(BASE) + pg.copy_data(
        tar(pg.tar_header("endless", size=b"\x80" + b"\0" * 7 + b"\x7f\0\0\0"))))
    talk.endless(pg.copy_data(b"d" + b"\0" * 65536))


def many_members(count, build):
    """Members by number, in messages of at most 64."""
    def act(talk):
        blocks = [build(number) for number in range(count)]
        return copy(BASE, *[tar(*blocks[at:at + 64]) for at in range(0, count, 64)],
                    tar(LABEL, pg.TAR_END))
    return archive(act)


START = [
    ("backup start", what, {"backup": part("start", data)}, REFUSED) for what, data in (
        ("no row", pg.row_description(["a", "b"]) + pg.complete()),
        ("two rows", pg.rows(("0/2000028", "1"), ("0/2000028", "1"))),
        ("NULLs", position(None, None)),
        ("LSN of letters", position("here", "1")),
        ("timeline 2^32", position("0/2000028", "4294967296")),
        ("timeline -1", position("0/2000028", "-1")),
        ("a cell of 70 MiB", lambda talk: position(b"0" * (70 * MIB), "1")))
] + [
    ("backup start", what, {"backup": part("start", data)}, EITHER) for what, data in (
        ("LSN 0/0", position("0/0", "1")),
        ("LSN FFFFFFFF/FFFFFFFF", position("FFFFFFFF/FFFFFFFF", "1")),
        ("timeline 0", position("0/2000028", "0")),
        ("timeline 2^32-1", position("0/2000028", "4294967295")))
]
SPACES = [
    ("tablespaces", what, {"backup": part("spaces", data)}, REFUSED) for what, data in (
        ("no row", pg.row_description(["a", "b", "c"]) + pg.complete()),
        ("9,999 without an archive", many_spaces(9999)),
        ("9,999 with a path of 4000 bytes", many_spaces(9999, "/" + "p" * 4000)),
        ("10,001", many_spaces(10001)),
        ("number 0", spaces(("0", "/a", "1"))),
        ("number 2^32", spaces(("4294967296", "/a", "1"))),
        ("number -1", spaces(("-1", "/a", "1"))),
        ("a number of letters", spaces(("pg_default", "/a", "1"))),
        ("a size of letters", spaces((None, None, "much"))),
        ("a size of 2^64", spaces((None, None, "18446744073709551616"))),
        ("two columns", pg.rows((None, None), names=["a", "b"])),
        ("the same twice", spaces(("16385", "/a", "1"), ("16385", "/b", "1"), (None, None, "1"))))
] + [
    ("tablespaces", what, {"backup": part("spaces", data)}, EITHER) for what, data in (
        ("a size of 2^63-1", spaces((None, None, HUGE))),
        ("a size of -2^63", spaces((None, None, "-9223372036854775808"))),
        ("sizes whose sum overflows", spaces((None, None, "9007199254740991"),
                                             ("16385", "/a", "9007199254740991"))),
        ("a place with control characters", spaces(("16385", CONTROL, "1"), (None, None, "1"))),
        ("a place in no encoding", spaces(("16385", BROKEN, "1"), (None, None, "1"))))
]
ARCHIVES = [
    ("archives", what, {"backup": archive(data)}, REFUSED) for what, data in (
        ("none", copy()),
        ("called ../../x", copy(b"n../../x\0\0", tar(LABEL, pg.TAR_END))),
        ("called 16385.tar, not announced", copy(b"n16385.tar\0/x\0", tar(LABEL, pg.TAR_END))),
        ("called 4294967296.tar", copy(b"n4294967296.tar\0/x\0", tar(LABEL, pg.TAR_END))),
        ("a name without end", copy(b"nbase.tar", tar(LABEL, pg.TAR_END))),
        ("base.tar twice", copy(BASE, tar(LABEL, pg.TAR_END), BASE, tar(LABEL, pg.TAR_END))),
        ("data before an archive", copy(tar(LABEL, pg.TAR_END))),
        ("an unknown message", copy(BASE, b"x" * 99)),
        ("a manifest nobody asked for", copy(BASE, tar(LABEL, pg.TAR_END), b"m", b"d{}")),
        ("a message without bytes", pg.copy_begin(b"H") + pg.message(b"d") + pg.COPY_DONE),
        ("rows instead", pg.rows(("1",))),
        ("CopyBoth instead", pg.copy_begin(b"W")),
        ("CopyIn instead", pg.copy_begin(b"G")),
        ("an error in the middle", pg.copy_begin(b"H") + pg.copy_data(BASE)
         + pg.error("checksum verification failure during base backup", "XX001")),
        ("twelve errors of 3 MB", lambda talk: pg.copy_begin(b"H") + pg.copy_data(BASE)
         + pg.error(b"e" * 3_000_000, "XX001") * 12),
        ("an error in no encoding", pg.copy_begin(b"H") + pg.error(BROKEN)),
        ("a file's warning with control characters", pg.copy_begin(b"H") + pg.copy_data(BASE)
         + pg.notice(CONTROL) * 99 + pg.error("checksum", "XX001")))
] + [
    ("archives", "progress of 99 bytes and of none", {
        "backup": archive(copy(BASE, b"p", b"p" + b"\xff" * 99, tar(LABEL, pg.TAR_END)))}, EITHER),
    ("archives", "a tablespace's with .. in its name",
     {"backup": one_space(b"../16385.tar")}, REFUSED),
    ("archives", "a tablespace's, whose number was another's",
     {"backup": one_space(b"16386.tar")}, REFUSED),
    ("archives", "an honest tablespace", {"backup": one_space(b"16385.tar")}, EITHER),
]
HEADERS = [
    ("tar headers", what, {"backup": member(*blocks)}, REFUSED) for what, blocks in (
        ("a negative size", [pg.tar_header("x", size=b"-0000000001")]),
        ("a negative size of base 256", [pg.tar_header("x", size=b"\xff" * 12)]),
        ("a size of 2^63", [pg.tar_header("x", size=b"\x80" + b"\0" * 3 + b"\x80" + b"\0" * 7)]),
        ("a size of 2^87", [pg.tar_header("x", size=b"\x80" + b"\xff" * 11)]),
        ("a size of letters", [pg.tar_header("x", size=b"many")]),
        ("more bytes announced than come", [pg.tar_header("x", size=1 << 30)]),
        ("a wrong checksum", [pg.tar_header("x", checksum=b"000000\0 ")]),
        ("random bytes", [bytes((7 * i * i + 13) % 256 for i in range(512))]),
        ("an absolute name", [pg.tar_member("/etc/x", b"x")]),
        ("a name with ..", [pg.tar_member("a/../../x", b"x")]),
        ("a name of ..", [pg.tar_member("..", kind=b"5")]),
        ("an empty name", [pg.tar_member("", b"x")]),
        ("a hard link", [pg.tar_member("x", kind=b"1", link="/etc/passwd")]),
        ("a device", [pg.tar_member("x", kind=b"3")]),
        ("a FIFO", [pg.tar_member("x", kind=b"6")]),
        ("an unknown kind", [pg.tar_member("x", kind=b"Z")]))
] + [
    ("tar headers", what, {"backup": member(*blocks)}, EITHER) for what, blocks in (
        ("a link out, and a file below it", [
            pg.tar_member("aa", kind=b"2", link="/tmp"), pg.tar_member("aa/file", b"escaped")]),
        ("not ustar", [pg.tar_header("x", magic=b"notar\x0000")]),
        ("a link up", [pg.tar_member("aa", kind=b"2", link="../../..")]),
        ("a link to itself", [pg.tar_member("aa", kind=b"2", link="aa")]),
        ("the same file twice", [pg.tar_member("x", b"1"), pg.tar_member("x", b"2")]),
        ("a file and a directory of one name", [pg.tar_member("x", b"1"),
                                                pg.tar_member("x", kind=b"5")]),
        ("a file below a file", [pg.tar_member("x", b"1"), pg.tar_member("x/y", b"2")]),
        ("a name in no encoding", [pg.tar_member(BROKEN[:90], b"x")]),
        ("a name with control characters", [pg.tar_member(CONTROL.encode()[:90], b"x")]),
        ("a time of 2^55", [pg.tar_header("x", mtime=b"\x80" + b"\0" * 4 + b"\x7f" + b"\xff" * 6)]),
        ("a time before 1970", [pg.tar_header("x", mtime=b"\xff" * 12)]),
        ("a mode of 07777777", [pg.tar_member("x", b"x", mode=b"7777777\0")]),
        ("a long name of GNU of 1 GiB", [pg.tar_header("././@LongLink", size=1 << 30, kind=b"L")]),
        ("a header of pax", [pg.tar_member("x", b"30 path=../../../escape\n", kind=b"x")]))
]
DATA = [
    ("tar data", what, {"backup": act}, sees) for what, act, sees in (
        ("cut in a header", archive(copy(BASE, tar(LABEL, b"x" * 100))), REFUSED),
        ("cut in a file", archive(copy(BASE, tar(LABEL, pg.tar_header("x", size=5000), b"x" * 99))),
         REFUSED),
        ("no end", part("tar_end", b""), EITHER),
        ("garbage behind the end", part("tar_end", pg.TAR_END + b"\xee" * 5000), EITHER),
        ("no backup_label", archive(copy(BASE, tar(pg.tar_member("x", b"x"), pg.TAR_END))), REFUSED),
        ("a backup_label of 2 MB", archive(lambda talk: copy(BASE, tar(
            pg.tar_member("backup_label", b"L" * 2_000_000), pg.TAR_END))), REFUSED),
        ("a backup_label of NULs", archive(copy(BASE, tar(
            pg.tar_member("backup_label", b"\0" * 400), pg.TAR_END))), EITHER),
        ("a backup_label in no encoding", archive(copy(BASE, tar(
            pg.tar_member("backup_label", BROKEN), pg.TAR_END))), EITHER),
        ("a tablespace_map with ..", member(pg.tar_member(
            "tablespace_map", b"16385 ../../../escape\n../x /tmp\n")), EITHER),
        ("20,000 empty files", many_members(20000, lambda n: pg.tar_member(f"base/f{n}")), EITHER),
        ("40 directories, each in the one before", many_members(
            40, lambda n: pg.tar_member("/".join(["d"] * (n + 1)), kind=b"5")), EITHER),
        ("a file without end", endless_member, REFUSED),
        ("one byte a second", slow(pg.rows(("0/2000028", "1"))), REFUSED))
]
END = [
    ("backup end", what, {"backup": part("end", data)}, REFUSED) for what, data in (
        ("no row", pg.row_description(["a", "b"]) + pg.complete()),
        ("NULLs", position(None, None)),
        ("LSN of letters", position("there", "1")),
        ("LSN FFFFFFFF/FFFFFFFF", position("FFFFFFFF/FFFFFFFF", "1")),
        ("timeline 2^32", position("0/2000028", "4294967296")),
        ("another timeline", position("0/2000028", "9")),
        ("before the start", position("0/1000028", "1")),
        ("an error", pg.error("could not finish", "XX000")),
        ("a COPY without end", pg.copy_begin(b"G")))
] + [
    ("backup end", "LSN 0/0", {"backup": part("end", position("0/0", "1"))}, EITHER),
    ("backup end", "timeline 0", {"backup": part("end", position("0/2000028", "0"))}, EITHER),
    ("backup end", "notices without end", {
        "backup": stops_after("archive", lambda talk: talk.endless(pg.notice("n" * 60000)))},
     REFUSED),
    ("backup end", "silence", {"backup": stops_after("archive", lambda talk: talk.hush())}, REFUSED),
    ("backup end", "a closed connection", {"backup": stops_after("archive")}, REFUSED),
    ("backup start", "silence", {"backup": says_and_waits()}, REFUSED),
    ("backup start", "a reset connection", {"backup": reset}, REFUSED),
    ("backup start", "a half-closed connection", {"backup": half_close}, REFUSED),
    ("backup start", "closes at once", {"backup": says()}, REFUSED),
    ("backup start", "rows without end", {
        "backup": endless(pg.data_row(["0/1", "1"]) * 3000, pg.row_description(["a", "b"]))},
     REFUSED),
    ("tablespaces", "a reset after them", {
        "backup": stops_after("spaces", lambda talk: talk.reset())}, REFUSED),
    ("tablespaces", "silence after them", {
        "backup": stops_after("spaces", lambda talk: talk.hush())}, REFUSED),
]

LIES = [Lie(*row) for row in (
    *CONNECT, *AUTH, *PARAMETERS, *READY, *answer_lies("IDENTIFY_SYSTEM", "identify"), *SYSTEM,
    *answer_lies("settings, first", "segment"), *SETTINGS, *answer_lies("slot", "slot-make"),
    *SLOTS, *HISTORY, *STREAM, *WAL, *START, *SPACES, *ARCHIVES, *HEADERS, *DATA, *END)]
