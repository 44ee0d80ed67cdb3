"""Scatter: reduce-scatter, then all-gather, between the masters of the hosts.

Each master owns a part of the message: it gets that part of every host's sum, adds them up and
sends the total to the others. Two phases like the tree, but each link carries only 2 (H - 1) / H of
the message each way, and no host is busier than another (Thakur, Rabenseifner and Gropp 2005).
"""

from __future__ import annotations

from collections.abc import Sequence

from banyan.engine.comm.arithmetic import add
from banyan.engine.comm.collective import NumberKind
from banyan.engine.comm.levels import PIECE_BYTES, Levels, cut, segments
from banyan.engine.comm.link import Pump


class Scatter(Levels):
    """See the module."""

    name = "scatter"

    def _lead(self, data: memoryview, pieces: Sequence[slice], kind: NumberKind) -> None:
        own = self._space("own", len(data)) if self._peers else data
        for number, piece in enumerate(pieces):
            self._sum_host(number, piece, data, own, kind)
        if self._peers:
            self._between_masters(own, data, kind)
        for piece in pieces:
            self._publish(piece, data)

    def _between_masters(self, own: memoryview, data: memoryview, kind: NumberKind) -> None:
        """The totals of ``own`` over all hosts, into ``data``."""
        parts = segments(len(data), len(self._peers) + 1)
        mine = parts[self._host]
        others = [part for host, part in enumerate(parts) if host != self._host]
        size = mine.stop - mine.start
        theirs = [self._space(f"from {link.peer}", size) for link in self._peers]
        pump = Pump(self._peers)
        for link, part, space in zip(self._peers, others, theirs, strict=True):
            pump.send(link, own[part])
            pump.expect(link, space)
            pump.expect(link, data[part])
        in_order = [*theirs[: self._host], own[mine], *theirs[self._host :]]
        owned, finished = cut(size, PIECE_BYTES), 0
        while finished < len(owned) or pump.busy:
            pump.turn(wait=True)
            arrived = min(pump.received(link) for link in self._peers)
            while finished < len(owned) and owned[finished].stop <= arrived:
                piece = owned[finished]
                total = data[mine][piece]
                add([part[piece] for part in in_order], total, kind)
                for link in self._peers:
                    pump.send(link, total)
                finished += 1
