"""Topology: which ranks share a host, and which of them speaks for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from banyan.engine.comm.roster import Roster


@dataclass(frozen=True, slots=True)
class Topology:
    """``hosts[h]`` are the ranks of one host; ``masters[h]`` is the one that speaks for it."""

    hosts: tuple[tuple[int, ...], ...]
    masters: tuple[int, ...]

    @classmethod
    def of(cls, hosts: Sequence[Sequence[int]]) -> Topology:
        """The first rank of each host is its master."""
        return cls(tuple(tuple(ranks) for ranks in hosts), tuple(ranks[0] for ranks in hosts))

    @classmethod
    def of_roster(cls, roster: Roster) -> Topology:
        return cls.of(roster.hosts)

    @property
    def ranks(self) -> tuple[int, ...]:
        """All ranks, host by host."""
        return tuple(rank for ranks in self.hosts for rank in ranks)

    @property
    def size(self) -> int:
        return sum(len(ranks) for ranks in self.hosts)

    def host_of(self, rank: int) -> int:
        return next(h for h, ranks in enumerate(self.hosts) if rank in ranks)

    def master_of(self, rank: int) -> int:
        return self.masters[self.host_of(rank)]

    def local(self, rank: int) -> tuple[int, ...]:
        """The ranks on the host of ``rank``, itself among them."""
        return self.hosts[self.host_of(rank)]

    def within(self, ranks: Iterable[int]) -> Topology:
        """The same hosts with only ``ranks`` on them; hosts without any are left out."""
        chosen = set(ranks)
        kept = [tuple(rank for rank in host if rank in chosen) for host in self.hosts]
        return Topology.of([host for host in kept if host])

    def led_by(self, masters: Sequence[int]) -> Topology:
        """The same with other masters, one of each host, in the order of the hosts."""
        return replace(self, masters=tuple(masters))
