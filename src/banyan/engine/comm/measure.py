"""Measure: latency and bandwidth of every link between hosts, and of each host's own memory.

One pair of masters at a time, so that no measurement disturbs another; rank 0's word goes, so that
all ranks end with the same numbers. It takes a few tens of milliseconds a pair at 1 Gbit/s.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from typing import Any, Final

from banyan.core.errors import ClusterError
from banyan.core.layout import LinkFacts, from_json, to_json
from banyan.engine.comm.collective import Buffer
from banyan.engine.comm.exchange import Exchange
from banyan.engine.comm.group import Group
from banyan.engine.comm.link import Link

PINGS: Final = 20
TRAIN_BYTES: Final = 1 << 20
LOCAL_BYTES: Final = 1 << 20
LOCAL_RUNS: Final = 3
MAX_WORD_BYTES: Final = 1 << 20
"""Longest agreement that is read."""

Matrix = tuple[tuple[LinkFacts, ...], ...]


def measure_links(group: Group) -> Matrix:
    """``[i][j]`` is the link between the masters of hosts i and j, in the group's order; the
    diagonal is what the ranks of a host do among themselves. All ranks must call it at once."""
    masters = group.topology.masters
    found: dict[str, Any] = {}
    for i, one in enumerate(masters):
        for j in range(i + 1, len(masters)):
            other = masters[j]
            if group.rank == one:
                found[f"{i} {j}"] = to_json(_time_link(group.links[other]))
            elif group.rank == other:
                _answer(group.links[one])
    if group.rank in masters:
        host = group.topology.host_of(group.rank)
        found[f"{host} {host}"] = to_json(_time_local(group))
    else:
        _time_local(group)
    table = agreed(group, found, _merged)
    return tuple(
        tuple(from_json(LinkFacts, table[f"{min(i, j)} {max(i, j)}"]) for j in range(len(masters)))
        for i in range(len(masters))
    )


def agreed(
    group: Group, mine: dict[str, Any], decide: Callable[[list[dict[str, Any]]], dict[str, Any]]
) -> dict[str, Any]:
    """What the group's first rank makes of everyone's ``mine``, on every rank."""
    first, *others = group.topology.ranks
    if group.rank != first:
        _tell(group.links[first], mine)
        return _hear(group.links[first])
    word = decide([mine, *(_hear(group.links[rank]) for rank in others)])
    for rank in others:
        _tell(group.links[rank], word)
    return word


def _merged(tables: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for table in tables for name, value in table.items()}


def _time_link(link: Link) -> LinkFacts:
    ping = memoryview(bytearray(8))
    latencies = []
    for _ in range(PINGS):
        started = time.perf_counter()
        link.send(ping)
        link.recv_into(ping)
        latencies.append((time.perf_counter() - started) / 2)
    latency = sorted(latencies)[PINGS // 2]
    train = memoryview(bytearray(TRAIN_BYTES))
    started = time.perf_counter()
    link.send(train)
    link.recv_into(ping)
    seconds = time.perf_counter() - started - 2 * latency
    return LinkFacts(latency_s=latency, bandwidth=TRAIN_BYTES / max(seconds, 1e-6))


def _answer(link: Link) -> None:
    ping = memoryview(bytearray(8))
    for _ in range(PINGS):
        link.recv_into(ping)
        link.send(ping)
    link.recv_into(memoryview(bytearray(TRAIN_BYTES)))
    link.send(ping)


def _time_local(group: Group) -> LinkFacts:
    """What a sum over this host's ranks takes, as if it were a link crossed twice."""
    local = group.topology.local(group.rank)
    if len(local) == 1:
        return LinkFacts(latency_s=0.0, bandwidth=1e12)
    collective = Exchange(group.within(local))

    def timed(size: int) -> float:
        buffer = Buffer(memoryview(bytearray(size)), "float32")
        runs = []
        for _ in range(LOCAL_RUNS):
            started = time.perf_counter()
            collective.all_reduce(buffer)
            runs.append(time.perf_counter() - started)
        return sorted(runs)[LOCAL_RUNS // 2]

    latency = timed(8) / 2
    seconds = timed(LOCAL_BYTES) - 2 * latency
    crossings = len(local) + 1
    return LinkFacts(latency_s=latency, bandwidth=crossings * LOCAL_BYTES / max(seconds, 1e-6))


def _tell(link: Link, word: dict[str, Any]) -> None:
    body = json.dumps(word).encode()
    link.send(memoryview(struct.pack("<I", len(body)) + body))


def _hear(link: Link) -> dict[str, Any]:
    head = bytearray(4)
    link.recv_into(memoryview(head))
    (length,) = struct.unpack("<I", head)
    if length > MAX_WORD_BYTES:
        raise ClusterError(f"{link.name} sent {length} bytes; MAX_WORD_BYTES = {MAX_WORD_BYTES}.")
    body = bytearray(length)
    link.recv_into(memoryview(body))
    word = json.loads(body)
    if not isinstance(word, dict):
        raise ClusterError(f"{link.name} sent what is no table.")
    return word
