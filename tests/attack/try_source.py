#!/usr/bin/python3
"""Plays chosen lies of a source one after another on one installation, to look at one of them.

    tests/attack/try_source.py REGEX…     of "place: what (phase)"; all without one

A line per attempt: seconds, the most memory that the service had, and what did not hold.
"""

import os
import re
import sys
import time

sys.path[:0] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]

from lies_backup import LIES  # noqa: E402
from source_world import World  # noqa: E402
from support import proc  # noqa: E402
from support.holdfast import Holdfast  # noqa: E402
from support.postgres import Postgres  # noqa: E402

ROOM = {"max_replication_slots": 200, "max_wal_senders": 200, "max_connections": 300}


def main():
    wanted = [re.compile(word) for word in sys.argv[1:]] or [re.compile("")]
    home = proc.new_folder("hf-up-")
    house = Holdfast(os.path.join(home, "dir"))
    server = Postgres(proc.new_folder("hf-pg-"), version=15, **ROOM)
    world = None
    try:
        server.create().start().add_roles()
        world = World(house.up(), server, 1)
        for lie in LIES:
            for phase in lie.phases:
                name = f"{lie.place}: {lie.what} ({phase})"
                if not any(pattern.search(name) for pattern in wanted):
                    continue
                world.process.reset_high()
                began = time.monotonic()
                problem = world.lanes[0].play(lie, phase)
                print(f"{time.monotonic() - began:5.1f} s {world.process.field('VmHWM') >> 20:5} MiB"
                      f"  {name}: {problem or 'held'}", flush=True)
    finally:
        if world:
            world.close()
        house.down()
        server.kill()
        proc.remove_folder(server.folder)
        proc.remove_folder(home)


if __name__ == "__main__":
    main()
