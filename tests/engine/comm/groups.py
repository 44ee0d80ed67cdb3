"""Groups of ranks as threads of one process, over real sockets and real shared memory."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from banyan.engine.comm import shared
from banyan.engine.comm.group import Group
from banyan.engine.comm.link import Link
from banyan.engine.comm.shared import HostMemory
from banyan.engine.comm.topology import Topology

Result = TypeVar("Result")

SLOT_BYTES = 1 << 20


def make_groups(hosts: Sequence[int], slot_bytes: int = SLOT_BYTES) -> list[Group]:
    """A group for each rank of hosts with so many ranks."""
    numbered, first = [], 0
    for count in hosts:
        numbered.append(tuple(range(first, first + count)))
        first += count
    topology = Topology.of(numbered)
    links: list[dict[int, Link]] = [{} for _ in range(first)]
    for a in range(first):
        for b in range(a):
            one, other = socket.socketpair()
            links[a][b], links[b][a] = Link(one, peer=b), Link(other, peer=a)
    memories: dict[int, HostMemory] = {}
    for ranks in numbered:
        if len(ranks) > 1:
            fd = shared.create(len(ranks), slot_bytes)
            for place, rank in enumerate(ranks):
                memories[rank] = HostMemory(fd, place, len(ranks), slot_bytes)
            os.close(fd)
    return [
        Group(
            rank=rank,
            topology=topology,
            links=links[rank],
            memory=memories.get(rank),
            channels={},
            round_bytes=slot_bytes,
        )
        for rank in range(first)
    ]


def at_once(groups: Sequence[Group], work: Callable[[Group], Result]) -> list[Result]:
    """What ``work`` returned on each rank, all at the same time; raises what one raised.

    The groups are closed at the end.
    """
    results: dict[int, Result] = {}
    failures: list[BaseException] = []

    def run(place: int, group: Group) -> None:
        try:
            results[place] = work(group)
        except BaseException as error:
            failures.append(error)
            for link in group.links.values():
                link.close()

    threads = [
        threading.Thread(target=run, args=(place, group)) for place, group in enumerate(groups)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for group in groups:
        group.close()
    if failures:
        raise failures[0]
    return [results[place] for place in range(len(groups))]
