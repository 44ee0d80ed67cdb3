"""A rank without torch that speaks the real protocol: it joins the mesh, says it is ready, and then
sums one number again and again, until somebody ends it. Rank 0 answers ``complete`` with the prompt
and the name of its group; a prompt that ends in "endless" it never stops to answer. Started instead
of the real one by ``toys.use_toy_ranks``; the environment variable TOY, for instance ``hang 1``,
says which rank does what wrong."""

from __future__ import annotations

import os
import socket
import sys
import threading
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
from banyan.engine.wire import LOAD_ID, Channel, Json

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
    if seat.calls_fd is not None:
        calls = Channel(socket.socket(fileno=seat.calls_fd))
        calls.send({"id": LOAD_ID, "value": None})
        threading.Thread(target=answer, args=(calls, roster.group_id), daemon=True).start()
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


def answer(calls: Channel, name: str) -> None:
    for call in calls:
        if call["op"] == "complete":
            threading.Thread(target=write, args=(calls, call, name), daemon=True).start()
    os._exit(0)


def write(calls: Channel, call: Json, name: str) -> None:
    words = call["prompt"].split()
    while words[-1] == "endless":
        say(calls, call, "more ")
        time.sleep(0.2)
    for word in [*words, name]:
        say(calls, call, word + " ")
    usage = {"prompt_tokens": len(words), "completion_tokens": len(words) + 1}
    calls.send({"id": call["id"], "event": {"finish_reason": "stop", "usage": usage}})


def say(calls: Channel, call: Json, text: str) -> None:
    calls.send({"id": call["id"], "event": {"text": text, "logprobs": []}})


if __name__ == "__main__":
    serve(int(sys.argv[1]), follow)
