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
        if not self._peers:
            for number, piece in enumerate(pieces):
                self._sum_host(number, piece, data, data, kind)
                self._publish(piece, data)
            return
        parts = segments(len(data), len(self._peers) + 1)
        mine, others = parts[self._host], parts[: self._host] + parts[self._host + 1 :]
        own = self._space("own", len(data))
        theirs = [self._space(f"from {link.peer}", _size(mine)) for link in self._peers]
        pump = Pump(self._peers)
        for link, part, space in zip(self._peers, others, theirs, strict=True):
            pump.expect(link, space)
            # A total comes only after what it is made of has gone, so nothing is overwritten.
            pump.expect(link, data[part])
        for number, piece in enumerate(pieces):
            self._sum_host(number, piece, data, own, kind)
            for link, part in zip(self._peers, others, strict=True):
                pump.send(link, own[max(piece.start, part.start) : min(piece.stop, part.stop)])
            pump.turn(wait=False)
        theirs.insert(self._host, own[mine])
        self._total(pump, theirs, data, parts, pieces, kind)

    def _total(
        self,
        pump: Pump,
        in_order: Sequence[memoryview],
        data: memoryview,
        parts: Sequence[slice],
        pieces: Sequence[slice],
        kind: NumberKind,
    ) -> None:
        """Add up this master's part, send it to the others, and publish all parts as they come."""
        mine = parts[self._host]
        owned, finished, published = cut(_size(mine), PIECE_BYTES), 0, 0
        while finished < len(owned) or published < len(pieces) or pump.busy:
            arrived = min(pump.received(link) for link in self._peers)
            while finished < len(owned) and owned[finished].stop <= arrived:
                piece = owned[finished]
                total = data[mine][piece]
                add([part[piece] for part in in_order], total, kind)
                for link in self._peers:
                    pump.send(link, total)
                finished += 1
            done = [max(0, pump.received(link) - _size(mine)) for link in self._peers]
            done.insert(self._host, owned[finished - 1].stop if finished else 0)
            whole = _whole(parts, done)
            while published < len(pieces) and pieces[published].stop <= whole:
                self._publish(pieces[published], data)
                published += 1
            # Last, so that nobody waits while what has arrived is still to be used.
            pump.turn(wait=True)


def _size(part: slice) -> int:
    size: int = part.stop - part.start
    return size


def _whole(parts: Sequence[slice], done: Sequence[int]) -> int:
    """Up to where there is no gap, when ``done`` bytes of each part are there."""
    whole = 0
    for part, size in zip(parts, done, strict=True):
        whole = part.start + size
        if size < _size(part):
            break
    return whole
