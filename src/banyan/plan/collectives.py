"""What an All-Reduce costs: the alpha-beta model of each algorithm, and what none can beat.

A message of m bytes takes ``latency + m / bandwidth`` over a link; both directions of a link work
at once. Hosts are joined by one kind of link, the ranks of a host by another (its memory). The
model leaves out what the processor does meanwhile; ``auto`` therefore measures, and prints the
prediction beside what it found. Formulas: Thakur, Rabenseifner and Gropp 2005; Patarasuk and Yuan
2009; the tree as in the article (see ``engine/comm/tree.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from banyan.core.layout import LinkFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """``hosts`` of ``per_host`` ranks each; ``remote`` joins the hosts, ``local`` the ranks."""

    hosts: int
    per_host: int
    remote: LinkFacts
    local: LinkFacts

    @property
    def total(self) -> int:
        return self.hosts * self.per_host


def all_reduce_s(algorithm: str, size_bytes: int, ranks: Ranks) -> float:
    """Seconds of one All-Reduce of ``size_bytes`` by the named algorithm."""
    return _COSTS[algorithm](size_bytes, ranks)


def cheapest(size_bytes: int, ranks: Ranks) -> tuple[str, float]:
    """The algorithm that should be fastest, and its seconds."""
    costs = {name: cost(size_bytes, ranks) for name, cost in _COSTS.items()}
    name = min(costs, key=costs.__getitem__)
    return name, costs[name]


def bound_s(size_bytes: int, ranks: Ranks) -> float:
    """No algorithm is faster: one message's latency, and the bytes that every host must send."""
    if ranks.total == 1:
        return 0.0
    if ranks.hosts == 1:
        return ranks.local.latency_s + size_bytes / ranks.local.bandwidth
    sent = 2 * (ranks.hosts - 1) / ranks.hosts * size_bytes
    return ranks.remote.latency_s + sent / ranks.remote.bandwidth


def _over(link: LinkFacts, size_bytes: float) -> float:
    return link.latency_s + size_bytes / link.bandwidth


def _within_host(size_bytes: int, ranks: Ranks) -> float:
    """Numbers to the master of the host, and the sum back."""
    if ranks.per_host == 1:
        return 0.0
    return 2 * _over(ranks.local, size_bytes) + (ranks.per_host - 1) * size_bytes / (
        ranks.local.bandwidth
    )


def _star(size_bytes: int, ranks: Ranks) -> float:
    """Every rank to one and back; those of other hosts share that one's link."""
    remote = (ranks.hosts - 1) * ranks.per_host * size_bytes
    local = (ranks.per_host - 1) * size_bytes
    cost = 2 * _over(ranks.local, local) if ranks.per_host > 1 else 0.0
    return cost + (2 * _over(ranks.remote, remote) if ranks.hosts > 1 else 0.0)


def _tree(size_bytes: int, ranks: Ranks) -> float:
    cost = _within_host(size_bytes, ranks)
    if ranks.hosts > 1:
        up_and_down = (ranks.hosts - 1) * size_bytes
        cost += ranks.remote.latency_s + _over(ranks.remote, up_and_down)
    return cost


def _exchange(size_bytes: int, ranks: Ranks) -> float:
    cost = _within_host(size_bytes, ranks)
    if ranks.hosts > 1:
        cost += _over(ranks.remote, (ranks.hosts - 1) * size_bytes)
    return cost


def _scatter(size_bytes: int, ranks: Ranks) -> float:
    cost = _within_host(size_bytes, ranks)
    if ranks.hosts > 1:
        cost += 2 * _over(ranks.remote, (ranks.hosts - 1) / ranks.hosts * size_bytes)
    return cost


def _ring(size_bytes: int, ranks: Ranks) -> float:
    slowest = ranks.remote if ranks.hosts > 1 else ranks.local
    if ranks.total == 1:
        return 0.0
    return 2 * (ranks.total - 1) * _over(slowest, size_bytes / ranks.total)


_COSTS: Final[Mapping[str, Callable[[int, Ranks], float]]] = {
    "star": _star,
    "tree": _tree,
    "exchange": _exchange,
    "scatter": _scatter,
    "ring": _ring,
}
ALGORITHMS: Final = tuple(_COSTS)
