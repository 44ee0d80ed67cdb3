"""Star: the parameter server, the baseline that everything else is compared with.

Every rank sends its numbers to one rank over a link of its own, wherever it is; that one adds them
up and sends the sum to each. Hosts play no part in it.
"""

from __future__ import annotations

from banyan.engine.comm.arithmetic import add
from banyan.engine.comm.collective import Buffer
from banyan.engine.comm.group import Group
from banyan.engine.comm.link import Pump


class Star:
    """The first rank of the first host is the server."""

    name = "star"

    def __init__(self, group: Group) -> None:
        ranks = group.topology.ranks
        self._is_server = group.rank == ranks[0]
        self._server = None if self._is_server else group.links[ranks[0]]
        self._workers = [group.links[rank] for rank in ranks[1:]] if self._is_server else []
        self._scratch: list[bytearray] = [bytearray() for _ in self._workers]

    def all_reduce(self, buffer: Buffer) -> None:
        """See ``Collective``."""
        data = buffer.data
        if self._server is not None:
            self._server.send(data)
            self._server.recv_into(data)
            return
        if not self._workers:
            return
        pump = Pump(self._workers)
        parts = [data]
        for place, link in enumerate(self._workers):
            if len(self._scratch[place]) < len(data):
                self._scratch[place] = bytearray(len(data))
            parts.append(memoryview(self._scratch[place])[: len(data)])
            pump.expect(link, parts[-1])
        pump.run()
        add(parts, data, buffer.kind)
        for link in self._workers:
            pump.send(link, data)
        pump.run()
