"""Balance: how much of a model each device of an arrangement gets.

In proportion to speed, but never more than its memory holds: what one cannot take, the others get
by the same rule (water filling). Layers go to the stage that is then done first, or to the fastest
stage that has room; heads and columns to the ranks of a stage by the bandwidth that decoding lives
on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, pairwise
from math import log
from typing import Final

from banyan.core.errors import PlanImpossible
from banyan.core.layout import DeviceFacts, Interval, Layout, ModelShape, Share, Stage, Workload
from banyan.plan.arrangements import Group
from banyan.plan.cost import Machines, decode_stage, prefill_stage
from banyan.plan.matrices import WeightKind
from banyan.plan.shares import shares
from banyan.plan.sizes import Need, computed_kind, need

USABLE: Final = 0.95
"""Part of a device's memory that is planned with; drivers and fragments take the rest."""
STEP_ROWS: Final = 512
"""Tokens of a step, the engine's default."""
SLACKS: Final = (1.0, 0.97, 0.92, 0.85)
"""Parts of the memory that are dealt by, one after the other: heads and layers come whole, so a
rank may get more than its part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one replica is to hold and do: ``sequences`` at a time."""

    shape: ModelShape
    kind: WeightKind
    workload: Workload
    sequences: int

    @property
    def tokens(self) -> int:
        return self.workload.prompt + self.workload.generate

    @property
    def step_rows(self) -> int:
        return min(STEP_ROWS, self.workload.prompt * self.sequences)

    def need(self, share: Share) -> Need:
        return need(
            self.shape,
            share,
            self.kind,
            tokens=self.tokens,
            sequences=self.sequences,
            step_rows=self.step_rows,
        )


def balanced(
    load: Load, machines: Machines, groups: Sequence[Group], *, fastest_first: bool = False
) -> Layout:
    """The layout of one replica whose stages are ``groups``; ``machines`` has their ranks in order.

    What fits nowhere is dealt all the same, so that the overflow can be shown. Raises
    ``PlanImpossible`` when there are too few heads, columns or layers.
    """
    bounds = [0, *accumulate(len(group) for group in groups)]
    stages = [_Ranks(load, machines, range(begin, end)) for begin, end in pairwise(bounds)]
    if len(stages) > load.shape.layers:
        raise PlanImpossible(f"{load.shape.layers} layers are too few for {len(stages)} stages.")
    first = None
    for slack in SLACKS:
        counts = _layers(load.shape.layers, stages, slack, fastest_first=fastest_first)
        ends = [0, *accumulate(counts)]
        cut = [Interval(begin, end) for begin, end in pairwise(ends)]
        layout = Layout(
            stages=tuple(
                stage.dealt(layers, slack) for stage, layers in zip(stages, cut, strict=True)
            )
        )
        if fits(load, machines, layout):
            return layout
        first = first or layout
    assert first is not None
    return first


def fits(load: Load, machines: Machines, layout: Layout) -> bool:
    """Whether every rank has memory for its share."""
    return all(
        load.need(share).total <= limit(machines, rank)
        for stage in layout.stages
        for rank, share in zip(stage.ranks, stage.shares, strict=True)
    )


def limit(machines: Machines, rank: int) -> int:
    """Bytes of a rank that may be planned with."""
    return int(USABLE * machines.device(rank).memory_bytes)


def water_fill(total: float, speeds: Sequence[float], caps: Sequence[float]) -> list[float]:
    """``total`` in parts proportional to ``speeds``, none over its cap; where all caps together are
    no more than it, proportional to the caps."""
    if sum(caps) <= total:
        return [cap * total / sum(caps) for cap in caps]
    parts, open_, left = list(caps), set(range(len(caps))), total
    while open_:
        rate = left / sum(speeds[i] for i in open_)
        full = {i for i in open_ if speeds[i] * rate >= caps[i]}
        if not full:
            for i in open_:
                parts[i] = speeds[i] * rate
            break
        left -= sum(caps[i] for i in full)
        open_ -= full
    return parts


class _Ranks:
    """The ranks of a stage to be, and what a layer means to them."""

    def __init__(self, load: Load, machines: Machines, ranks: Sequence[int]) -> None:
        self._load = load
        self._machines = machines
        self._ranks = tuple(ranks)
        self._speeds = [_speed(load, machines.device(rank)) for rank in ranks]
        self._limits = [limit(machines, rank) for rank in ranks]

    def dealt(self, layers: Interval, slack: float) -> Stage:
        """The shares of these layers: by speed, or by speed as far as memory goes."""
        found = self._stage(self._speeds, layers)
        needs = [self._load.need(share).total for share in found.shares]
        if all(used <= most for used, most in zip(needs, self._limits, strict=True)):
            return found
        fixed = min(self._load.need(share).activations for share in found.shares)
        caps = [max(1.0, slack * (most - fixed)) for most in self._limits]
        everything = sum(needs) - fixed * len(needs)
        return self._stage(water_fill(everything, self._speeds, caps), layers)

    def room(self, ends: int) -> float:
        """Layers that have room, beside the matrices of ``ends`` ends of the model."""
        last = self._load.shape.layers
        inner, final = self._need(Interval(1, 2)), self._need(Interval(last - 1, last))
        size = sum(each.weights + each.kv for each in inner)
        table = sum(each.weights for each in final) - sum(each.weights for each in inner)
        free = sum(
            max(0, most - each.activations) for most, each in zip(self._limits, final, strict=True)
        )
        return (free - ends * table) / size

    def prefill_s(self, layers: Interval) -> float:
        load, rows = self._load, min(self._load.workload.prompt, STEP_ROWS)
        stage = self._stage(self._speeds, layers)
        price = prefill_stage(
            load.shape, load.kind, stage, self._machines, rows=rows, prompt=load.workload.prompt
        )
        return price.seconds

    def decode_s(self, layers: Interval) -> float:
        load, stage = self._load, self._stage(self._speeds, layers)
        price = decode_stage(
            load.shape,
            load.kind,
            stage,
            self._machines,
            context=load.tokens,
            batch=load.sequences,
        )
        return price.seconds

    def _need(self, layers: Interval) -> list[Need]:
        return [self._load.need(share) for share in self._stage(self._speeds, layers).shares]

    def _stage(self, weights: Sequence[float], layers: Interval) -> Stage:
        cut = _cut(self._load.shape, tuple(weight / max(weights) for weight in weights))
        return Stage(
            ranks=self._ranks, shares=tuple(replace(share, layers=layers) for share in cut)
        )


def _speed(load: Load, device: DeviceFacts) -> float:
    """What decoding lives on: bytes of weights per second, in the precision it is computed in."""
    return device.rates(computed_kind(load.kind, load.sequences, device.wide_rows)).weight_bandwidth


@lru_cache(maxsize=1024)
def _cut(shape: ModelShape, weights: tuple[float, ...]) -> tuple[Share, ...]:
    """The shares of ranks of these speeds, of any layers: a search asks again and again."""
    return shares(shape, weights)


def _layers(
    total: int, stages: Sequence[_Ranks], slack: float, *, fastest_first: bool
) -> list[int]:
    """Layers of each stage, one at a time to the stage that then ends first of those with room;
    ``fastest_first``: to the fastest with room, as suits stages that take turns."""
    if len(stages) == 1:
        return [total]
    inner, last, final = Interval(1, 2), Interval(total - 1, total), len(stages) - 1
    rooms = [
        max(1, int(slack * stage.room((number == 0) + (number == final))))
        for number, stage in enumerate(stages)
    ]
    seconds = [
        stage.decode_s(inner) if fastest_first else stage.prefill_s(inner) for stage in stages
    ]
    head_s = stages[final].decode_s(last) - stages[final].decode_s(inner)
    counts = [1] * len(stages)

    def after(i: int) -> tuple[int, float]:
        tempo = round(10 * log(seconds[i])) if fastest_first else 0
        return tempo, (counts[i] + 1) * seconds[i] + (head_s if i == final else 0.0)

    for _ in range(total - len(stages)):
        open_ = [i for i in range(len(stages)) if counts[i] < rooms[i]]
        if open_:
            counts[min(open_, key=after)] += 1
        else:
            counts[min(range(len(stages)), key=lambda i: counts[i] / rooms[i])] += 1
    return counts
