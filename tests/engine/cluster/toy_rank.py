"""A rank without torch that speaks the real protocol: it joins the mesh, says it is ready, and then
sums one number again and again, until somebody ends it. Started instead of the real one by
``toys.use_toy_ranks``; the environment variable TOY, for instance ``hang 1``, says which rank does
what wrong."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from banyan.engine.cluster.rank import serve
from banyan.engine.comm.collective import Buffer
from banyan.engine.comm.exchange import Exchange
from banyan.engine.comm.mesh import join_mesh
from banyan.engine.comm.shared import SLOT_BYTES, HostMemory
from banyan.engine.formation import Seat
from banyan.engine.pulse import Pulse

GOOD_STEPS = 20
"""Steps before one that hangs."""


def follow(seat: Seat, path: Path, report: Callable[[str], None], pulse: Pulse) -> None:
    trouble = os.environ.get("TOY", "").removesuffix(f" {seat.rank}")
    if trouble == "no memory":
        raise MemoryError
    if trouble == "crash":
        os.write(2, b"something useful\nterminate called: bad news\n")
        os.abort()
    roster = seat.formation.roster
    local = roster.hosts[roster.members[seat.rank].host]
    memory = None
    if seat.memory_fds:
        place = local.index(seat.rank)
        memory = HostMemory(seat.memory_fds[0], place, len(local), SLOT_BYTES)
    report("connecting")
    group = join_mesh(roster, seat.rank, socket.socket(fileno=seat.listener_fd), memory)
    collective = Exchange(group)
    report("ready")
    steps = 0
    while True:
        pulse.begin()
        if trouble == "hang" and steps > GOOD_STEPS:
            time.sleep(3600)
        pulse.move()
        collective.all_reduce(Buffer(memoryview(bytearray(64)), "float32"))
        pulse.finish()
        time.sleep(0.01)
        steps += 1


if __name__ == "__main__":
    serve(int(sys.argv[1]), follow)
