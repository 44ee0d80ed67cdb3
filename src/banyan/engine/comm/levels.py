"""Levels: what the algorithms have in common in which one rank of each host speaks for it.

The others put their numbers into the host's memory and take the sum out of it; their master adds
up what is there and talks to the masters of other hosts. Long messages move in pieces through all
levels at once: while one is on the wire the next is added up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Final

from banyan.engine.comm.arithmetic import add
from banyan.engine.comm.collective import Buffer, NumberKind
from banyan.engine.comm.group import Group
from banyan.engine.comm.link import Link

PIECE_BYTES: Final = 128 << 10
"""Bytes that move through the levels at a time."""
ALIGNMENT: Final = 64
"""Cuts fall on whole numbers of every kind."""


class Levels(ABC):
    """A ``Collective`` whose masters differ in how they talk to each other."""

    def __init__(self, group: Group) -> None:
        topology = group.topology
        self._group = group
        self._local = topology.local(group.rank)
        self._master = topology.master_of(group.rank)
        self._host = topology.host_of(group.rank)
        self._peers: list[Link] = [
            group.links[master] for master in topology.masters if master != self._master
        ]
        self._scratch: dict[str, bytearray] = {}

    @property
    @abstractmethod
    def name(self) -> str: ...

    def all_reduce(self, buffer: Buffer) -> None:
        """See ``Collective``."""
        for part in self._rounds(buffer.data):
            pieces = cut(len(part), PIECE_BYTES)
            if self._group.rank == self._master:
                self._lead(part, pieces, buffer.kind)
            else:
                self._follow(part, pieces)
            if self._group.memory is not None:
                self._group.memory.end_round(len(pieces))

    @abstractmethod
    def _lead(self, data: memoryview, pieces: Sequence[slice], kind: NumberKind) -> None:
        """The master's part: every piece of ``data`` becomes its sum, and is published in order."""

    def _rounds(self, data: memoryview) -> Iterator[memoryview]:
        size = self._group.round_bytes
        for begin in range(0, len(data), size):
            yield data[begin : begin + size]

    def _follow(self, data: memoryview, pieces: Sequence[slice]) -> None:
        memory = self._group.memory
        if memory is None:
            return
        slot, result = memory.slot(memory.index), memory.result
        for piece in pieces:
            slot[piece] = data[piece]
            memory.contribute()
        master = self._local.index(self._master)
        for number, piece in enumerate(pieces):
            memory.wait_result(number + 1, master)
            data[piece] = result[piece]

    def _sum_host(
        self, number: int, piece: slice, data: memoryview, out: memoryview, kind: NumberKind
    ) -> None:
        """out[piece] = the sum of piece ``number`` over this host's ranks."""
        memory = self._group.memory
        if memory is None:
            if out is not data:
                out[piece] = data[piece]
            return
        parts = []
        for place in range(len(self._local)):
            if place == memory.index:
                parts.append(data[piece])
            else:
                memory.wait_contribution(place, number + 1)
                parts.append(memory.slot(place)[piece])
        add(parts, out[piece], kind)

    def _publish(self, piece: slice, data: memoryview) -> None:
        """Give this host's ranks a piece of the result."""
        memory = self._group.memory
        if memory is not None:
            memory.result[piece] = data[piece]
            memory.publish()

    def _space(self, name: str, size: int) -> memoryview:
        """Memory to work in, kept between calls."""
        space = self._scratch.get(name)
        if space is None or len(space) < size:
            space = self._scratch[name] = bytearray(size)
        return memoryview(space)[:size]


def cut(length: int, size: int) -> list[slice]:
    """0 .. length in slices of ``size``."""
    return [slice(begin, min(begin + size, length)) for begin in range(0, length, size)]


def segments(length: int, count: int) -> list[slice]:
    """0 .. length in ``count`` slices of about the same size, cut on ``ALIGNMENT``; the last ones
    may be empty."""
    size = -(-length // (count * ALIGNMENT)) * ALIGNMENT
    return [slice(min(i * size, length), min((i + 1) * size, length)) for i in range(count)]
