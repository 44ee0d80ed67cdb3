"""Tree: the article's two-level communication tree, in its four steps.

1. Every rank gives its numbers to the master of its host.
2. The masters send their host's sum to one of them, the global master.
3. The global master adds these up and sends the total back the same way.
4. The masters hand it to the ranks of their hosts.

Across hosts that is H - 1 messages up and H - 1 down (Feng, Li and Yu, ZTE Technology Journal
2/2024, section 2.2).
"""

from __future__ import annotations

from collections.abc import Sequence

from banyan.engine.comm.arithmetic import add
from banyan.engine.comm.collective import NumberKind
from banyan.engine.comm.levels import Levels
from banyan.engine.comm.link import Pump


class Tree(Levels):
    """The master of the first host is the global master."""

    name = "tree"

    def _lead(self, data: memoryview, pieces: Sequence[slice], kind: NumberKind) -> None:
        if self._host == 0:
            self._lead_all(data, pieces, kind)
        else:
            self._lead_host(data, pieces, kind)

    def _lead_all(self, data: memoryview, pieces: Sequence[slice], kind: NumberKind) -> None:
        """The global master: totals go out as soon as every host's piece is in."""
        pump = Pump(self._peers)
        own = self._space("own", len(data))
        theirs = [self._space(f"from {link.peer}", len(data)) for link in self._peers]
        for link, space in zip(self._peers, theirs, strict=True):
            pump.expect(link, space)
        summed = finished = 0
        while finished < len(pieces) or pump.busy:
            if summed < len(pieces):
                self._sum_host(summed, pieces[summed], data, own, kind)
                summed += 1
            pump.turn(wait=summed == len(pieces))
            arrived = min((pump.received(link) for link in self._peers), default=len(data))
            while finished < summed and pieces[finished].stop <= arrived:
                piece = pieces[finished]
                add([part[piece] for part in (own, *theirs)], data[piece], kind)
                for link in self._peers:
                    pump.send(link, data[piece])
                self._publish(piece, data)
                finished += 1

    def _lead_host(self, data: memoryview, pieces: Sequence[slice], kind: NumberKind) -> None:
        """A local master: its host's sums go up, totals come down and are handed on."""
        up = self._group.links[self._group.topology.masters[0]]
        pump = Pump([up])
        own = self._space("own", len(data))
        total = self._space("total", len(data))
        pump.expect(up, total)
        summed = finished = 0
        while finished < len(pieces) or pump.busy:
            if summed < len(pieces):
                self._sum_host(summed, pieces[summed], data, own, kind)
                pump.send(up, own[pieces[summed]])
                summed += 1
            pump.turn(wait=summed == len(pieces))
            while finished < summed and pieces[finished].stop <= pump.received(up):
                data[pieces[finished]] = total[pieces[finished]]
                self._publish(pieces[finished], data)
                finished += 1
