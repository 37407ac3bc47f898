"""Random lies: any stage, any of a handful of ways to spoil what the real server says there."""

import random
import struct

import pgmessages as pg
from fake_postgres import SmallBackup
from lies import EITHER, PHASES, Lie, answers, identity

EXTREMES = (0, 1, 3, 4, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe,
            0xffffffff)


def honest(talk, stage):
    """What could be said at a stage, near enough to the truth to be taken for it."""
    if stage in ("auth", "params", "ready"):
        return pg.auth(0) + pg.parameter("server_version", "15.1") + pg.backend_key() + pg.ready()
    if stage == "backup":
        return SmallBackup(talk).bytes()
    if stage in ("wal", "keepalive", "start"):
        begin = pg.copy_begin(b"W") if stage == "start" else b""
        lsn = talk.position or 0x3000000
        return begin + pg.keepalive(lsn) + pg.wal(lsn, b"w" * 300) + pg.keepalive(lsn + 300, 1)
    if stage in ("accept", "tls"):
        return b"S" + pg.error("no", "28000", "FATAL")
    answer = identity()(talk) if stage == "identify" else pg.rows(("16MB", "0/3000000", "1"))
    return answer + pg.ready()


def flip(dice, data):
    for _ in range(dice.randint(1, 8)):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def number(dice, data):
    at = dice.randrange(max(1, len(data) - 4))
    data[at:at + 4] = struct.pack(">I", dice.choice(EXTREMES))


def cut(dice, data):
    del data[dice.randrange(len(data)):]


def double(dice, data):
    at = dice.randrange(len(data))
    data[at:at] = data[dice.randrange(at + 1):at + 200]


def drop(dice, data):
    at = dice.randrange(len(data))
    del data[at:at + dice.randint(1, 60)]


def insert(dice, data):
    at = dice.randrange(len(data))
    data[at:at] = bytes(dice.randrange(256) for _ in range(dice.randint(1, 60)))


WAYS = (flip, number, cut, double, drop, insert)


def spoiled(seed, stage):
    """An act that spoils its stage: the same in each connection."""
    def act(talk, _kind, _body):
        dice = random.Random(seed)
        data = bytearray(honest(talk, stage))
        for _ in range(dice.randint(1, 3)):
            if data:
                dice.choice(WAYS)(dice, data)
        talk.send(bytes(data))
        if dice.random() < 0.5:
            talk.end()
        talk.hush()
    return act


def mutations(seed, count):
    """(lie, phase): the number in its name repeats it."""
    dice = random.Random(seed)
    stages = sorted(set(PHASES) - {"slot-read"})  # nothing leads there for sure
    for number_ in range(count):
        stage = dice.choice(stages)
        one = f"{seed}.{number_}"
        acts = {"identify": answers(identity(timeline="2"))} if stage == "history" else {}
        yield (Lie("mutation", f"{stage}, number {one}", {**acts, stage: spoiled(one, stage)},
                   EITHER), dice.choice(PHASES[stage]))
