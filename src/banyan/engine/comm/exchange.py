"""Exchange: the masters of all hosts send each other their host's sum, at the same moment.

One phase across hosts instead of the tree's two, with both directions of each link in use; there is
no global master. Each adds up the hosts' sums in the same order, so all get the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from banyan.engine.comm.arithmetic import add
from banyan.engine.comm.collective import NumberKind
from banyan.engine.comm.levels import Levels
from banyan.engine.comm.link import Pump

AT_ONCE_BYTES: Final = 32 << 10
"""Up to here the kernel takes a whole message at once, so that all may send before they read."""


class Exchange(Levels):
    """See the module."""

    name = "exchange"

    def _lead(self, data: memoryview, pieces: Sequence[slice], kind: NumberKind) -> None:
        own = self._space("own", len(data)) if self._peers else data
        theirs = [self._space(f"from {link.peer}", len(data)) for link in self._peers]
        in_order = [*theirs[: self._host], own, *theirs[self._host :]]
        if len(data) <= AT_ONCE_BYTES:
            self._sum_host(0, pieces[0], data, own, kind)
            for link in self._peers:
                link.send(own)
            for link, space in zip(self._peers, theirs, strict=True):
                link.recv_into(space)
            self._finish(pieces[0], data, in_order, kind)
            return
        self._lead_piecewise(data, pieces, in_order, kind)

    def _lead_piecewise(
        self,
        data: memoryview,
        pieces: Sequence[slice],
        in_order: Sequence[memoryview],
        kind: NumberKind,
    ) -> None:
        pump = Pump(self._peers)
        own = in_order[self._host]
        theirs = [*in_order[: self._host], *in_order[self._host + 1 :]]
        for link, space in zip(self._peers, theirs, strict=True):
            pump.expect(link, space)
        finished = 0
        for number in range(len(pieces)):
            self._sum_host(number, pieces[number], data, own, kind)
            for link in self._peers:
                pump.send(link, own[pieces[number]])
            pump.turn(wait=False)
            finished = self._finish_ready(pump, finished, number + 1, data, pieces, in_order, kind)
        while finished < len(pieces) or pump.busy:
            pump.turn(wait=True)
            finished = self._finish_ready(pump, finished, len(pieces), data, pieces, in_order, kind)

    def _finish_ready(
        self,
        pump: Pump,
        finished: int,
        summed: int,
        data: memoryview,
        pieces: Sequence[slice],
        in_order: Sequence[memoryview],
        kind: NumberKind,
    ) -> int:
        """Finish the pieces that are here from every host; how many are finished then."""
        arrived = min((pump.received(link) for link in self._peers), default=len(data))
        while finished < summed and pieces[finished].stop <= arrived:
            self._finish(pieces[finished], data, in_order, kind)
            finished += 1
        return finished

    def _finish(
        self, piece: slice, data: memoryview, in_order: Sequence[memoryview], kind: NumberKind
    ) -> None:
        if self._peers:
            add([part[piece] for part in in_order], data[piece], kind)
        self._publish(piece, data)
