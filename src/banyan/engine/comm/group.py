"""Group: what one rank holds to talk to the others: its links, and the memory of its host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from banyan.engine.comm.link import Link
from banyan.engine.comm.shared import SLOT_BYTES, HostMemory
from banyan.engine.comm.topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """``links`` carry the collectives, to every other rank; ``channels`` hold further links by
    their purpose. ``memory`` is None where the rank is alone on its host. Messages longer than
    ``round_bytes``, which every slot of every host holds, go through in rounds."""

    rank: int
    topology: Topology
    links: Mapping[int, Link]
    memory: HostMemory | None = None
    channels: Mapping[str, Mapping[int, Link]]
    round_bytes: int = SLOT_BYTES

    def within(self, ranks: Iterable[int]) -> Group:
        """The same rank among ``ranks`` only. These must be whole hosts, for a host's memory is
        used by all of its ranks together."""
        topology = self.topology.within(ranks)
        links = {peer: link for peer, link in self.links.items() if peer in topology.ranks}
        memory = self.memory if len(topology.local(self.rank)) > 1 else None
        return replace(self, topology=topology, links=links, memory=memory)

    def spin(self, seconds: float) -> None:
        """Look for messages so long before sleeping (see ``Link``)."""
        for links in (self.links, *self.channels.values()):
            for link in links.values():
                link.spin_s = seconds
        if self.memory is not None:
            self.memory.spin_s = seconds

    def close(self) -> None:
        for links in (self.links, *self.channels.values()):
            for link in links.values():
                link.close()
