"""Ring: reduce-scatter and all-gather round a ring of all ranks (Patarasuk and Yuan 2009).

The ranks of a host follow each other, so each link between hosts is crossed once in each direction
of the ring. Each rank sends 2 (N - 1) / N of the message in all, whatever N is: the least possible;
but it takes 2 (N - 1) steps, each a link's latency long.
"""

from __future__ import annotations

from banyan.engine.comm.arithmetic import add
from banyan.engine.comm.collective import Buffer
from banyan.engine.comm.group import Group
from banyan.engine.comm.levels import segments
from banyan.engine.comm.link import Pump


class Ring:
    """See the module."""

    name = "ring"

    def __init__(self, group: Group) -> None:
        ranks = group.topology.ranks
        self._count = len(ranks)
        self._place = ranks.index(group.rank)
        after = ranks[(self._place + 1) % self._count]
        before = ranks[(self._place - 1) % self._count]
        self._after = group.links.get(after)
        self._before = group.links.get(before)
        self._scratch = bytearray()

    def all_reduce(self, buffer: Buffer) -> None:
        """See ``Collective``."""
        data, count, place = buffer.data, self._count, self._place
        if count == 1 or not len(data):
            return
        parts = segments(len(data), count)
        if len(self._scratch) < parts[0].stop:
            self._scratch = bytearray(parts[0].stop)
        for step in range(count - 1):
            arriving = parts[(place - step - 1) % count]
            space = memoryview(self._scratch)[: arriving.stop - arriving.start]
            self._pass_on(data[parts[(place - step) % count]], space)
            add([data[arriving], space], data[arriving], buffer.kind)
        for step in range(count - 1):
            arriving = parts[(place - step) % count]
            self._pass_on(data[parts[(place - step + 1) % count]], data[arriving])

    def _pass_on(self, leaving: memoryview, arriving: memoryview) -> None:
        if self._after is None or self._before is None:
            return
        pump = Pump({self._after, self._before})
        pump.send(self._after, leaving)
        pump.expect(self._before, arriving)
        pump.run()
