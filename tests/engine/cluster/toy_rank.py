"""A rank without torch that speaks the real protocol: it joins the mesh, says it is ready, and then
sums one number again and again, until somebody ends it. Started instead of the real one by
``toys.use_toy_ranks``; the environment variable TOY says what it does wrong."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time

from banyan.core.errors import BanyanError
from banyan.core.layout import from_json
from banyan.engine.cluster.ranks import BEAT_S
from banyan.engine.comm.collective import Buffer
from banyan.engine.comm.exchange import Exchange
from banyan.engine.comm.mesh import join_mesh
from banyan.engine.comm.shared import SLOT_BYTES, HostMemory
from banyan.engine.formation import Seat
from banyan.engine.wire import Channel


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    frames = iter(channel)
    told = next(frames)
    seat = from_json(Seat, told["seat"])
    trouble = os.environ.get("TOY", "")
    threading.Thread(target=_beat, args=(channel, trouble), daemon=True).start()
    threading.Thread(target=_end_with, args=(frames,), daemon=True).start()
    try:
        if trouble == f"no memory {seat.rank}":
            raise MemoryError
        _work(seat, channel)
    except BanyanError as error:
        channel.send({"state": "failed", "message": str(error)})
    except MemoryError:
        channel.send({"state": "failed", "message": "It ran out of memory."})
    os._exit(1)


def _work(seat: Seat, channel: Channel) -> None:
    roster = seat.formation.roster
    local = roster.hosts[roster.members[seat.rank].host]
    memory = None
    if seat.memory_fds:
        place = local.index(seat.rank)
        memory = HostMemory(seat.memory_fds[0], place, len(local), SLOT_BYTES)
    group = join_mesh(roster, seat.rank, socket.socket(fileno=seat.listener_fd), memory)
    collective = Exchange(group)
    channel.send({"state": "ready"})
    while True:
        collective.all_reduce(Buffer(memoryview(bytearray(64)), "float32"))
        time.sleep(0.01)


def _beat(channel: Channel, trouble: str) -> None:
    while True:
        try:
            channel.send({"beat": True})
        except OSError:
            os._exit(0)
        time.sleep(BEAT_S)


def _end_with(frames: object) -> None:
    for _ in frames:  # type: ignore[attr-defined]  # an iterator of frames
        continue
    os._exit(0)


if __name__ == "__main__":
    main()
