"""Cost: how long a step takes on given machines, with a name for every part of it.

A roofline per rank (products at the device's rate, weights and keys at its bandwidth, streamed
weights over its link to the host's memory: whichever is slowest), the All-Reduces of tensor
parallel by the alpha-beta model, and the hops and bubbles of a pipeline. Prefill and decoding are
priced apart, for what binds them differs. Sums that hide behind products are charged in full: a
price is an upper bound there. Roofline: Williams, Waterman and Patterson 2009.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from banyan.core.layout import DeviceFacts, Facts, Layout, LinkFacts, ModelShape, Stage
from banyan.plan.collectives import Ranks, all_reduce_s, cheapest
from banyan.plan.matrices import WeightKind
from banyan.plan.sizes import (
    active_parameters,
    computed_kind,
    head_parameters,
    kv_bytes,
    read_bytes,
    seen_positions,
)

MICRO_BATCH_TOKENS: Final = 256
"""Rows that travel a pipeline at a time."""
STEP_OVERHEAD_S: Final = 5e-4
"""Fixed cost of a step of several ranks: plan, gathering, sampling."""
ACTIVATION_BYTES: Final = 2
NOTHING: Final[Mapping[int, int]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Seconds, and where they go."""

    compute_s: float = 0.0
    memory_s: float = 0.0
    stream_s: float = 0.0
    sums_s: float = 0.0
    hops_s: float = 0.0
    overhead_s: float = 0.0

    @property
    def seconds(self) -> float:
        busy_s = self.compute_s + self.memory_s + self.stream_s
        return busy_s + self.sums_s + self.hops_s + self.overhead_s

    @property
    def parts(self) -> dict[str, float]:
        """The seconds by what they are spent on, in words."""
        return {
            "products": self.compute_s,
            "reading weights and keys": self.memory_s,
            "waiting for streamed weights": self.stream_s,
            "sums between ranks": self.sums_s,
            "hops between stages": self.hops_s,
            "fixed costs": self.overhead_s,
        }

    def __add__(self, other: Price) -> Price:
        return Price(
            compute_s=self.compute_s + other.compute_s,
            memory_s=self.memory_s + other.memory_s,
            stream_s=self.stream_s + other.stream_s,
            sums_s=self.sums_s + other.sums_s,
            hops_s=self.hops_s + other.hops_s,
            overhead_s=self.overhead_s + other.overhead_s,
        )

    def times(self, factor: float) -> Price:
        return Price(
            compute_s=self.compute_s * factor,
            memory_s=self.memory_s * factor,
            stream_s=self.stream_s * factor,
            sums_s=self.sums_s * factor,
            hops_s=self.hops_s * factor,
            overhead_s=self.overhead_s * factor,
        )


class Machines:
    """Facts by rank: ``ranks[i]`` is (host, device) of rank i; ``algorithm`` makes their sums."""

    def __init__(
        self, facts: Facts, ranks: Sequence[tuple[int, int]], *, algorithm: str = "auto"
    ) -> None:
        self.facts = facts
        self._algorithm = algorithm
        self.ranks = tuple(ranks)
        self._devices = [facts.hosts[host].devices[device] for host, device in self.ranks]
        self._between: dict[tuple[int, ...], Ranks] = {}

    @classmethod
    def all_of(cls, facts: Facts, *, algorithm: str = "auto") -> Machines:
        """Every device of every host, host by host."""
        ranks = [(h, d) for h, host in enumerate(facts.hosts) for d in range(len(host.devices))]
        return cls(facts, ranks, algorithm=algorithm)

    def device(self, rank: int) -> DeviceFacts:
        return self._devices[rank]

    def hosts(self, ranks: Sequence[int]) -> list[int]:
        """The hosts of these ranks, each once."""
        return list(dict.fromkeys(self.ranks[rank][0] for rank in ranks))

    def between(self, ranks: Sequence[int]) -> Ranks:
        """The ranks of a stage as the cost of a sum sees them."""
        key = tuple(ranks)
        if key not in self._between:
            self._between[key] = self._joined(key)
        return self._between[key]

    def sum_s(self, ranks: Sequence[int], size_bytes: int) -> float:
        """Seconds of one All-Reduce over these ranks."""
        between = self.between(ranks)
        if self._algorithm == "auto":
            return cheapest(size_bytes, between)[1]
        return all_reduce_s(self._algorithm, size_bytes, between)

    def link(self, one: int, other: int) -> LinkFacts:
        """From rank to rank."""
        a, b = self.ranks[one][0], self.ranks[other][0]
        return self.facts.hosts[a].local if a == b else self.facts.links[a][b]

    def _joined(self, ranks: Sequence[int]) -> Ranks:
        hosts = [self.ranks[rank][0] for rank in ranks]
        distinct = sorted(set(hosts))
        pairs = [self.facts.links[i][j] for i in distinct for j in distinct if i != j]
        local = _slowest([self.facts.hosts[host].local for host in distinct])
        return Ranks(
            hosts=len(distinct),
            per_host=max(hosts.count(host) for host in distinct),
            remote=_slowest(pairs or [local]),
            local=local,
        )


def prefill(
    shape: ModelShape,
    kind: WeightKind,
    layout: Layout,
    machines: Machines,
    *,
    prompt: int,
    batch: int = 1,
    step_rows: int = 0,
    streamed: Mapping[int, int] = NOTHING,
) -> Price:
    """The first token of ``batch`` prompts of ``prompt`` tokens, ``step_rows`` at a time (0: all).

    In a pipeline the micro-batches of a step follow each other through the stages, the slowest
    setting the pace; the next step begins when the last has ended. ``streamed`` are the bytes that
    pass through a rank in each step.
    """
    rows = prompt * batch
    steps = -(-rows // step_rows) if step_rows else 1
    rows_of_step = rows / steps
    stages = layout.stages
    pieces = -(-rows // (steps * MICRO_BATCH_TOKENS)) if len(stages) > 1 else 1
    piece = rows_of_step / pieces

    def through(stage: Stage) -> Price:
        moved = {rank: streamed.get(rank, 0) / pieces for rank in stage.ranks}
        return prefill_stage(shape, kind, stage, machines, rows=piece, prompt=prompt, moved=moved)

    prices = [through(stage) for stage in stages]
    hops = [_hop(shape, machines, before, after, piece) for before, after in pairwise(stages)]
    pace = max(prices, key=lambda price: price.seconds)
    if hops and max(hops) > pace.seconds:
        pace = Price(hops_s=max(hops))
    step = _total(prices) + Price(hops_s=sum(hops)) + pace.times(pieces - 1) + _step(layout)
    return step.times(steps)


def decode(
    shape: ModelShape,
    kind: WeightKind,
    layout: Layout,
    machines: Machines,
    *,
    context: int,
    batch: int = 1,
    streamed: Mapping[int, int] = NOTHING,
) -> Price:
    """One step of one new token for each of ``batch`` sequences of ``context`` tokens, from the
    first stage to the last. The next step needs these tokens, so stages take turns."""
    price = _step(layout)
    for number, stage in enumerate(layout.stages):
        price += decode_stage(
            shape, kind, stage, machines, context=context, batch=batch, moved=streamed
        )
        if number:
            before = layout.stages[number - 1]
            price += Price(hops_s=_hop(shape, machines, before, stage, batch))
    return price


def prefill_stage(
    shape: ModelShape,
    kind: WeightKind,
    stage: Stage,
    machines: Machines,
    *,
    rows: float,
    prompt: int,
    moved: Mapping[int, float] = NOTHING,
) -> Price:
    """One piece of ``rows`` tokens of prompts of ``prompt`` tokens through one stage."""
    slowest = Price()
    for rank, share in zip(stage.ranks, stage.shares, strict=True):
        # Causality hides half of the scores; scores and weighted values are two products.
        seen = seen_positions(shape, share.layers, -(-prompt // 2))
        attention = 4 * rows * seen * share.heads.size * shape.head_dim
        products = 2 * rows * share.layers.size * active_parameters(shape, share)
        device = machines.device(rank)
        used = computed_kind(kind, int(rows), device.wide_rows)
        bound = _bound(
            device,
            used,
            products=products + attention,
            read=read_bytes(shape, share, used, rows=int(rows)),
            moved=moved.get(rank, 0),
        )
        slowest = max(slowest, bound, key=_seconds)
    return slowest + _beside(shape, stage, machines, rows)


def decode_stage(
    shape: ModelShape,
    kind: WeightKind,
    stage: Stage,
    machines: Machines,
    *,
    context: int,
    batch: int,
    moved: Mapping[int, float] = NOTHING,
) -> Price:
    """One new token for each of ``batch`` sequences through one stage."""
    slowest = Price()
    item = 4 if kind == "fp32" else ACTIVATION_BYTES
    for rank, share in zip(stage.ranks, stage.shares, strict=True):
        keys = kv_bytes(shape, share, tokens=context, sequences=batch, item_bytes=item)
        seen = seen_positions(shape, share.layers, context)
        parameters = share.layers.size * active_parameters(shape, share)
        parameters += head_parameters(shape, share)
        device = machines.device(rank)
        used = computed_kind(kind, batch, device.wide_rows)
        bound = _bound(
            device,
            used,
            products=batch * (2 * parameters + 4 * seen * share.heads.size * shape.head_dim),
            read=read_bytes(shape, share, used, rows=batch) + keys,
            moved=moved.get(rank, 0),
        )
        slowest = max(slowest, bound, key=_seconds)
    return slowest + _beside(shape, stage, machines, batch)


def _bound(
    device: DeviceFacts, kind: WeightKind, *, products: float, read: float, moved: float
) -> Price:
    """What one rank's device is busy with; streamed weights come while it computes."""
    rates = device.rates(kind)
    computing, reading = products / rates.flops, read / rates.weight_bandwidth
    waiting = max(0.0, moved / device.copy_bandwidth - max(computing, reading))
    if computing >= reading:
        return Price(compute_s=computing, stream_s=waiting)
    return Price(memory_s=reading, stream_s=waiting)


def _beside(shape: ModelShape, stage: Stage, machines: Machines, rows: float) -> Price:
    """The All-Reduces of a stage (two a layer; one for the embedding, or to share what came from
    the stage before), and fixed costs."""
    layers = stage.shares[0].layers
    overhead = layers.size * max(machines.device(rank).layer_overhead_s for rank in stage.ranks)
    if len(stage.ranks) == 1:
        return Price(overhead_s=overhead)
    size = int(rows * shape.hidden * ACTIVATION_BYTES)
    each = machines.sum_s(stage.ranks, size)
    return Price(sums_s=(2 * layers.size + 1) * each, overhead_s=overhead)


def _hop(shape: ModelShape, machines: Machines, before: Stage, after: Stage, rows: float) -> float:
    """From the first rank of a stage to that of the next."""
    link = machines.link(before.ranks[0], after.ranks[0])
    return link.latency_s + rows * shape.hidden * ACTIVATION_BYTES / link.bandwidth


def _step(layout: Layout) -> Price:
    return Price(overhead_s=STEP_OVERHEAD_S if layout.ranks > 1 else 0.0)


def _total(prices: Sequence[Price]) -> Price:
    total = Price()
    for price in prices:
        total += price
    return total


def _seconds(price: Price) -> float:
    return price.seconds


def _slowest(links: Sequence[LinkFacts]) -> LinkFacts:
    return LinkFacts(
        latency_s=max(link.latency_s for link in links),
        bandwidth=min(link.bandwidth for link in links),
    )
