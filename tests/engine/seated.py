"""Whole groups of ranks as threads of one process, over real sockets and real shared memory."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from banyan.core.layout import Layout
from banyan.engine.comm import shared
from banyan.engine.comm.roster import Member, Roster
from banyan.engine.config import EngineConfig
from banyan.engine.engine import Engine
from banyan.engine.formation import Communication, Formation, ModelIdentity, Seat
from banyan.engine.seat import follow

EXCHANGE = Communication(algorithm="exchange")
KEY = "5e" * 32


def make_seats(
    layout: Layout,
    hosts: Sequence[int],
    config: EngineConfig,
    communication: Communication = EXCHANGE,
    micro_batch_tokens: int = 8,
) -> list[Seat]:
    """A seat for every rank of hosts with so many ranks, with bound listeners and memory."""
    members, listeners, memories = [], [], {}
    for host, count in enumerate(hosts):
        if count > 1:
            memories[host] = shared.create(count)
        for _ in range(count):
            listener = socket.create_server(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            members.append(
                Member(rank=len(members), host=host, address="127.0.0.1", port=port, sharers=count)
            )
            listeners.append(listener.detach())
    formation = Formation(
        roster=Roster(group_id="test", key=KEY, members=tuple(members)),
        layout=layout,
        model=ModelIdentity(name="test", digest="", size_bytes=0),
        config=config,
        communication=communication,
        micro_batch_tokens=micro_batch_tokens,
    )
    return [
        Seat(
            formation=formation,
            rank=member.rank,
            listener_fd=listener,
            memory_fds=(os.dup(memories[member.host]),) if member.host in memories else (),
        )
        for member, listener in zip(members, listeners, strict=True)
    ]


@contextmanager
def seated_engine(
    path: Path,
    layout: Layout,
    hosts: Sequence[int],
    config: EngineConfig,
    communication: Communication = EXCHANGE,
) -> Iterator[Engine]:
    """An engine whose other ranks follow in threads; all have ended afterwards."""
    config = replace(config, threads=1).resolve()
    seats = make_seats(layout, hosts, config, communication)
    threads = [threading.Thread(target=follow, args=(seat, path)) for seat in seats[1:]]
    for thread in threads:
        thread.start()
    engine = Engine.load(path, config, seats[0])
    try:
        yield engine
    finally:
        engine.close()
        for thread in threads:
            thread.join(30)
