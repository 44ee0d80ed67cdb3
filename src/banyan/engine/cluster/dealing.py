"""Dealing: which ranks of which hosts each replica gets: the next ones in the hosts' order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from banyan.core.errors import PlanImpossible
from banyan.core.layout import Facts, Layout
from banyan.engine.cluster.lobby import HEAD_NAME
from banyan.plan.matrices import WeightKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealt:
    """What one replica gets: so many ranks of each of these hosts, by name, and their layout;
    ``speed`` is that of the ranks together, to be compared with other replicas."""

    hosts: tuple[tuple[str, int], ...]
    layout: Layout
    speed: float

    @property
    def guests(self) -> tuple[str, ...]:
        """Its hosts but the head's own."""
        return tuple(name for name, _ in self.hosts if name != HEAD_NAME)


def deal(layouts: Sequence[Layout], facts: Facts, kind: WeightKind) -> tuple[Dealt, ...]:
    """Each layout on the next ranks of these hosts, which compute in ``kind``. Raises
    ``PlanImpossible`` when the layouts do not take all ranks."""
    ranks = [
        (host.name, device.rates(kind).weight_bandwidth)
        for host in facts.hosts
        for device in host.devices
    ]
    needed = sum(layout.ranks for layout in layouts)
    if needed != len(ranks):
        raise PlanImpossible(f"The layouts take {needed} ranks; the hosts offer {len(ranks)}.")
    found, first = [], 0
    for layout in layouts:
        own = ranks[first : first + layout.ranks]
        names = [name for name, _ in own]
        hosts = tuple((name, names.count(name)) for name in dict.fromkeys(names))
        found.append(Dealt(hosts=hosts, layout=layout, speed=sum(speed for _, speed in own)))
        first += layout.ranks
    return tuple(found)
