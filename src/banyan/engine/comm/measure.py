"""Measure: latency and bandwidth of every link between hosts, and of each host's own memory.

One pair of masters at a time, so that no measurement disturbs another; both directions of a link
are busy at once, as they are in a sum. Rank 0's word goes, so that all ranks end with the same
numbers. It takes a few tens of milliseconds a pair, on slow links too.
"""

from __future__ import annotations

import json
import statistics
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from banyan.core.errors import ClusterError
from banyan.core.layout import LinkFacts, from_json, to_json
from banyan.engine.comm.arithmetic import add
from banyan.engine.comm.collective import Buffer
from banyan.engine.comm.exchange import Exchange
from banyan.engine.comm.group import Group
from banyan.engine.comm.link import Link, Pump

PINGS: Final = 20
TRIAL_BYTES: Final = 64 << 10
TRAIN_BYTES: Final = 1 << 20
TRAIN_S: Final = 0.05
"""A train is at most ``TRAIN_BYTES`` long, and on a slow link what it carries in this time."""
SPEED_BYTES: Final = 256 << 10
SPEED_RUNS: Final = 7
CLEARLY: Final = 0.8
"""A rank leads instead of its host's first one when it needs less than this part of its time."""
LOCAL_BYTES: Final = 1 << 20
LOCAL_RUNS: Final = 3
TRAINS: Final = 2
SHORTEST_S: Final = 1e-6
_PLAN: Final = struct.Struct("<dI")
MAX_WORD_BYTES: Final = 1 << 20
"""Longest agreement that is read."""

Matrix = tuple[tuple[LinkFacts, ...], ...]


def led_by_fastest(group: Group) -> Group:
    """The same group with each host led by the rank that adds up fastest, as the article's tree
    wants; by its first rank where no other is clearly faster. All ranks must call it at once."""
    if all(len(ranks) == 1 for ranks in group.topology.hosts):
        return group

    def decide(tables: list[dict[str, Any]]) -> dict[str, Any]:
        seconds = _merged(tables)
        return {"masters": [_fastest(ranks, seconds) for ranks in group.topology.hosts]}

    word = agreed(group, {str(group.rank): _seconds_to_add()}, decide)
    return replace(group, topology=group.topology.led_by(word["masters"]))


def measure_links(group: Group) -> Matrix:
    """``[i][j]`` is the way from the master of host i to that of host j, in the group's order; the
    diagonal is what the ranks of a host do among themselves. All ranks must call it at once."""
    masters = group.topology.masters
    found: dict[str, Any] = {}
    for i, one in enumerate(masters):
        for j in range(i + 1, len(masters)):
            if group.rank == one:
                found[f"{j} {i}"] = to_json(_time_as_first(group.links[masters[j]]))
            elif group.rank == masters[j]:
                found[f"{i} {j}"] = to_json(_time_as_second(group.links[one]))
    local = to_json(_time_local(group))
    if group.rank in masters:
        host = group.topology.host_of(group.rank)
        found[f"{host} {host}"] = local
    table = agreed(group, found, _merged)
    hosts = range(len(masters))
    return tuple(tuple(from_json(LinkFacts, table[f"{i} {j}"]) for j in hosts) for i in hosts)


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


def _fastest(ranks: Sequence[int], seconds: dict[str, float]) -> int:
    best = min(ranks, key=lambda rank: seconds[str(rank)])
    return best if seconds[str(best)] < CLEARLY * seconds[str(ranks[0])] else ranks[0]


def _seconds_to_add() -> float:
    """What adding up takes here at best: the rest is others' use of the same core."""
    one, other = (memoryview(bytearray(SPEED_BYTES)) for _ in range(2))
    runs = []
    for _ in range(SPEED_RUNS):
        started = time.perf_counter()
        add([one, other], one, "float32")
        runs.append(time.perf_counter() - started)
    return min(runs)


def _time_as_first(link: Link) -> LinkFacts:
    """The way from the peer to here; the peer measures the other one at the same time."""
    ping = memoryview(bytearray(_PLAN.size))
    latencies = []
    for _ in range(PINGS):
        started = time.perf_counter()
        link.send(ping)
        link.recv_into(ping)
        latencies.append((time.perf_counter() - started) / 2)
    latency = statistics.median(latencies)
    size, seconds = TRIAL_BYTES, 0.0
    for _ in range(TRAINS):
        link.send(memoryview(_PLAN.pack(latency, size)))
        # The peer begins when it has the plan, one latency later, and its first byte takes another.
        seconds = max(_train(link, size) - 2 * latency, SHORTEST_S)
        facts = LinkFacts(latency_s=latency, bandwidth=size / seconds, is_measured=True)
        size = int(min(TRAIN_BYTES, max(TRIAL_BYTES, TRAIN_S * facts.bandwidth)))
    return facts


def _time_as_second(link: Link) -> LinkFacts:
    plan = memoryview(bytearray(_PLAN.size))
    for _ in range(PINGS):
        link.recv_into(plan)
        link.send(plan)
    for _ in range(TRAINS):
        link.recv_into(plan)
        latency, size = _PLAN.unpack(plan)
        if not 0 < size <= TRAIN_BYTES:
            raise ClusterError(f"{link.name} wants a train of {size} bytes, over {TRAIN_BYTES}.")
        seconds = max(_train(link, size), SHORTEST_S)
        facts = LinkFacts(latency_s=latency, bandwidth=size / seconds, is_measured=True)
    return facts


def _train(link: Link, size: int) -> float:
    """Seconds until ``size`` bytes have come, while as many go."""
    pump = Pump([link])
    started = time.perf_counter()
    pump.send(link, memoryview(bytes(size)))
    pump.expect(link, memoryview(bytearray(size)))
    while pump.received(link) < size:
        pump.turn(wait=True)
    seconds = time.perf_counter() - started
    pump.run()
    return seconds


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
        return statistics.median(runs)

    latency = timed(8) / 2
    seconds = timed(LOCAL_BYTES) - 2 * latency
    crossings = len(local) + 1
    return LinkFacts(
        latency_s=latency,
        bandwidth=crossings * LOCAL_BYTES / max(seconds, SHORTEST_S),
        is_measured=True,
    )


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
    try:
        word = json.loads(body)
    except ValueError:
        word = None
    if not isinstance(word, dict):
        raise ClusterError(f"{link.name} sent what is no table.")
    return word
