"""Auto: measure each collective on the real group once, then use the fastest for each size.

The alpha-beta model says which algorithm should win, but not what Python, copies and shared cores
cost. So every candidate is timed at a few sizes, taking turns; between sizes the time is
interpolated, beyond them it grows as the model says. The first rank's table decides, so that all
ranks choose alike.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from banyan.core.cluster import AlgorithmStats, ChoiceStats
from banyan.core.layout import LinkFacts
from banyan.engine.comm.collective import Buffer, Collective
from banyan.engine.comm.compress import CompressedExchange
from banyan.engine.comm.exchange import Exchange
from banyan.engine.comm.group import Group
from banyan.engine.comm.measure import Matrix, agreed, measure_links
from banyan.plan.collectives import ALGORITHMS, Ranks, all_reduce_s, cheapest

SIZES: Final = tuple(1024 * size for size in (4, 8, 16, 64, 256, 512, 1024, 4096))
GROWTH: Final = 4
"""No size is more than so many times the one before it."""
BUDGET_S: Final = 2.0
"""Time for all of the calibration; large sizes are left out when it is used up."""
LIMIT_S: Final = 2 * BUDGET_S
"""A size is left out when the rounds that it needs at least would go beyond this."""
LEAST_ROUNDS: Final = 2
MOST_RUNS: Final = 15
SHORT_S: Final = 1e-3
SHORT_RUNS: Final = 4
"""While the quickest takes less than ``SHORT_S``, so many in a row are timed as one."""
HOPELESS: Final = 2.0
"""An algorithm this many times slower than the best at two sizes in a row is not tried at the next
one, unless the model says that it comes within ``CLOSE`` of the best at some larger one."""
CLOSE: Final = 1.5


class Auto:
    """A ``Collective`` that is the best of several. Making one takes part in the measurement, so
    all ranks must make theirs at once."""

    name = "auto"

    def __init__(self, group: Group, candidates: Sequence[Collective]) -> None:
        self.links: Matrix = measure_links(group)
        self._candidates = {candidate.name: candidate for candidate in candidates}
        self._ranks = _ranks(group, self.links)
        self._table = _calibrated(group, candidates, self._ranks)
        self._by_size: dict[int, Collective] = {}

    def all_reduce(self, buffer: Buffer) -> None:
        """See ``Collective``."""
        size = len(buffer.data)
        chosen = self._by_size.get(size)
        if chosen is None:
            chosen = self._by_size[size] = self._candidates[self.pick(size)]
        chosen.all_reduce(buffer)

    @property
    def candidates(self) -> tuple[str, ...]:
        """What it chooses from."""
        return tuple(self._candidates)

    def pick(self, size_bytes: int) -> str:
        """The name of what is used for a message of that size."""
        measured_to = max(size for points in self._table.values() for size in points)
        times = {
            name: self._seconds(name, size_bytes)
            for name, points in self._table.items()
            if min(size_bytes, measured_to) <= max(points)  # later it was dropped as hopeless
        }
        return min(times, key=times.__getitem__)

    def _seconds(self, name: str, size: int) -> float:
        """What is expected of a candidate, from what it took at the measured sizes."""
        points = self._table[name]
        last = max(points)
        if size <= last:
            return _between(points, size)
        predicted = self.predicted_s(name, last)
        grown = self.predicted_s(name, size) / predicted if predicted else size / last
        return points[last] * grown

    def choices(self) -> list[ChoiceStats]:
        """What was picked at each measured size, beside what else was measured there."""
        sizes = sorted({size for points in self._table.values() for size in points})
        return [self._choice(size) for size in sizes]

    def _choice(self, size: int) -> ChoiceStats:
        picked = self.pick(size)
        others = [
            AlgorithmStats(
                algorithm=name,
                measured_s=points[size],
                predicted_s=self.predicted_s(name, size),
            )
            for name, points in self._table.items()
            if size in points and name != picked
        ]
        return ChoiceStats(
            size_bytes=size,
            algorithm=picked,
            measured_s=self._seconds(picked, size),
            predicted_s=self.predicted_s(picked, size),
            others=tuple(sorted(others, key=lambda other: other.measured_s)),
        )

    def predicted_s(self, name: str, size_bytes: int) -> float:
        """What the model says of a candidate on the links that were measured; 0 where it knows
        nothing of it."""
        candidate, ranks = self._candidates[name], self._ranks
        if isinstance(candidate, CompressedExchange):
            shorter = candidate.wire_bytes(max(size_bytes, 4)) / max(size_bytes, 4)
            remote = replace(ranks.remote, bandwidth=ranks.remote.bandwidth / shorter)
            return all_reduce_s(Exchange.name, size_bytes, replace(ranks, remote=remote))
        return all_reduce_s(name, size_bytes, ranks) if name in ALGORITHMS else 0.0


def _calibrated(
    group: Group, candidates: Sequence[Collective], ranks: Ranks
) -> dict[str, dict[int, float]]:
    """Seconds of each candidate at each size that the budget allowed."""
    table: dict[str, dict[int, float]] = {candidate.name: {} for candidate in candidates}
    alive = list(candidates)
    slow: set[str] = set()
    spent = quickest = 0.0
    for size in SIZES:
        repeats = SHORT_RUNS if quickest < SHORT_S else 1
        found, spent = _timed(group, alive, size, repeats, spent)
        for name, seconds in found.items():
            table[name][size] = seconds
        quickest = min(found.values())
        slow_before = slow
        slow = {name for name, seconds in found.items() if seconds > HOPELESS * quickest}
        alive = [
            each
            for each in alive
            if each.name not in slow & slow_before or _may_catch_up(each.name, size, ranks)
        ]
        # Time grows by no more than the size.
        next_s = LEAST_ROUNDS * GROWTH * sum(found[each.name] for each in alive)
        if spent >= BUDGET_S or spent + next_s > LIMIT_S:
            break
    return {name: points for name, points in table.items() if points}


def _may_catch_up(name: str, size: int, ranks: Ranks) -> bool:
    """Whether the model has it close to the best at a larger size; it knows nothing of others."""
    return name not in ALGORITHMS or any(
        all_reduce_s(name, larger, ranks) <= CLOSE * cheapest(larger, ranks)[1]
        for larger in SIZES
        if larger > size
    )


def _timed(
    group: Group, candidates: Sequence[Collective], size: int, repeats: int, spent: float
) -> tuple[dict[str, float], float]:
    """What each takes at one size, on the rank where it takes longest, and the time used so far."""
    buffer = Buffer(memoryview(bytearray(size)), "float32")
    runs: dict[str, list[float]] = {candidate.name: [] for candidate in candidates}
    started = time.perf_counter()
    word: dict[str, Any] = {"again": True}
    rounds = 0
    while word["again"]:
        for candidate in candidates:
            agreed(group, {}, lambda words: {})
            began = time.perf_counter()
            # Several in a row, so that a rank that is let go early cannot begin the next one early.
            for _ in range(repeats):
                candidate.all_reduce(buffer)
            if rounds:  # the first round touches memory for the first time
                runs[candidate.name].append((time.perf_counter() - began) / repeats)
        rounds += 1
        used = spent + time.perf_counter() - started
        share = BUDGET_S * (SIZES.index(size) + 1) / len(SIZES)
        mine = {
            "again": rounds < LEAST_ROUNDS or (rounds < MOST_RUNS and used < share),
            "used": used,
            "seconds": {name: _lower_quartile(times) for name, times in runs.items()},
        }
        word = agreed(group, mine, _slowest_rank)
    return word["seconds"], word["used"]


def _lower_quartile(times: Sequence[float]) -> float:
    """Other work on the same cores only ever adds, so the quicker runs say more."""
    return sorted(times)[len(times) // 4] if times else 0.0


def _slowest_rank(words: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = [word["seconds"] for word in words]
    return words[0] | {"seconds": {name: max(s[name] for s in seconds) for name in seconds[0]}}


def _between(points: Mapping[int, float], size: int) -> float:
    """Seconds at ``size``, interpolated between measured sizes in logarithms; below them it stays
    as it is at the smallest."""
    sizes = sorted(points)
    if size <= sizes[0]:
        return points[sizes[0]]
    after = next(place for place, known in enumerate(sizes) if known >= size)
    low, high = sizes[after - 1], sizes[after]
    part = math.log(size / low) / math.log(high / low)
    return math.exp((1 - part) * math.log(points[low]) + part * math.log(points[high]))


def _ranks(group: Group, links: Matrix) -> Ranks:
    """The group as the cost model sees it: its slowest link, its largest host."""
    hosts = range(len(links))
    remote = [links[i][j] for i in hosts for j in hosts if i != j]
    local = [links[i][i] for i in hosts]
    return Ranks(
        hosts=len(links),
        per_host=max(map(len, group.topology.hosts)),
        remote=_slowest(remote or local),
        local=_slowest(local),
    )


def _slowest(links: Sequence[LinkFacts]) -> LinkFacts:
    return LinkFacts(
        latency_s=max(link.latency_s for link in links),
        bandwidth=min(link.bandwidth for link in links),
    )
