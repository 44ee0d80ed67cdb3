"""Cost: how long a step takes on given machines, with a name for every part of it.

A roofline per rank (products at the device's rate, or weights and keys at its bandwidth, whichever
is slower), the All-Reduces of tensor parallel by the alpha-beta model, and the hops and bubbles of
a pipeline. Prefill and decoding are priced apart, for what binds them differs. What overlaps is
left out: a price is an upper bound where sums hide behind products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from banyan.core.layout import DeviceFacts, Facts, Layout, LinkFacts, ModelShape, Share, Stage
from banyan.plan.collectives import Ranks, cheapest
from banyan.plan.sizes import (
    WeightKind,
    active_parameters,
    end_parameters,
    kv_bytes,
    weight_bytes,
)

MICRO_BATCH_TOKENS: Final = 256
STEP_OVERHEAD_S: Final = 5e-4
"""Fixed cost of a step of several ranks: plan, gathering, sampling."""
ACTIVATION_BYTES: Final = 2


@dataclass(frozen=True, slots=True)
class Price:
    """Seconds, and where they go."""

    compute_s: float = 0.0
    memory_s: float = 0.0
    sums_s: float = 0.0
    hops_s: float = 0.0
    overhead_s: float = 0.0

    @property
    def seconds(self) -> float:
        return self.compute_s + self.memory_s + self.sums_s + self.hops_s + self.overhead_s

    def __add__(self, other: Price) -> Price:
        return Price(
            self.compute_s + other.compute_s,
            self.memory_s + other.memory_s,
            self.sums_s + other.sums_s,
            self.hops_s + other.hops_s,
            self.overhead_s + other.overhead_s,
        )

    def times(self, factor: float) -> Price:
        return Price(
            self.compute_s * factor,
            self.memory_s * factor,
            self.sums_s * factor,
            self.hops_s * factor,
            self.overhead_s * factor,
        )


class Machines:
    """Facts by rank: ``ranks[i]`` is (host, device) of rank i."""

    def __init__(self, facts: Facts, ranks: Sequence[tuple[int, int]]) -> None:
        self.facts = facts
        self.ranks = tuple(ranks)

    @classmethod
    def all_of(cls, facts: Facts) -> Machines:
        """Every device of every host, host by host."""
        return cls(
            facts,
            [(h, d) for h, host in enumerate(facts.hosts) for d in range(len(host.devices))],
        )

    def device(self, rank: int) -> DeviceFacts:
        host, device = self.ranks[rank]
        return self.facts.hosts[host].devices[device]

    def between(self, ranks: Sequence[int]) -> Ranks:
        """The ranks of a stage as the cost of a sum sees them."""
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

    def link(self, one: int, other: int) -> LinkFacts:
        """From rank to rank."""
        a, b = self.ranks[one][0], self.ranks[other][0]
        return self.facts.hosts[a].local if a == b else self.facts.links[a][b]


def prefill(
    shape: ModelShape,
    kind: WeightKind,
    layout: Layout,
    machines: Machines,
    *,
    prompt: int,
    batch: int = 1,
) -> Price:
    """The first token of ``batch`` prompts of ``prompt`` tokens: every stage, micro-batch after
    micro-batch, the slowest setting the pace."""
    rows = prompt * batch
    stages = layout.stages
    if len(stages) == 1:
        return _prefill_stage(shape, kind, stages[0], machines, rows, prompt) + _step(layout)
    pieces = -(-rows // MICRO_BATCH_TOKENS)
    piece = rows / pieces
    prices = [_prefill_stage(shape, kind, stage, machines, piece, prompt) for stage in stages]
    hops = [_hop(shape, machines, before, after, piece) for before, after in pairwise(stages)]
    through = _total(prices) + Price(hops_s=sum(hops))
    pace = max(prices, key=lambda price: price.seconds)
    slowest_hop = max(hops)
    if slowest_hop > pace.seconds:
        pace = Price(hops_s=slowest_hop)
    return through + pace.times(pieces - 1) + _step(layout)


def decode(
    shape: ModelShape,
    kind: WeightKind,
    layout: Layout,
    machines: Machines,
    *,
    context: int,
    batch: int = 1,
) -> Price:
    """One step of one new token for each of ``batch`` sequences of ``context`` tokens, from the
    first stage to the last."""
    price = _step(layout)
    for number, stage in enumerate(layout.stages):
        price += _decode_stage(shape, kind, stage, machines, context, batch)
        if number:
            before = layout.stages[number - 1]
            price += Price(hops_s=_hop(shape, machines, before, stage, batch))
    return price


def decode_tokens_per_s(
    shape: ModelShape,
    kind: WeightKind,
    layout: Layout,
    machines: Machines,
    *,
    context: int,
    batch: int,
) -> float:
    """Tokens per second of one replica with ``batch`` sequences, which a pipeline divides so that
    each stage has some of them."""
    stages = len(layout.stages)
    if stages == 1 or batch < stages:
        price = decode(shape, kind, layout, machines, context=context, batch=batch)
        return batch / price.seconds
    each = -(-batch // stages)
    slowest = max(
        _decode_stage(shape, kind, stage, machines, context, each).seconds
        for stage in layout.stages
    )
    return batch / (stages * (slowest + STEP_OVERHEAD_S))


def streamed_decode(
    shape: ModelShape, share: Share, kind: WeightKind, device: DeviceFacts, *, batch: int
) -> Price:
    """One step of a device that holds only a window of the layers: all weights cross its link."""
    moved = weight_bytes(shape, share, kind) / device.copy_bandwidth
    flops = 2 * batch * share.layers.size * active_parameters(shape, share) / device.flops
    return Price(memory_s=max(0.0, moved - flops), compute_s=flops)


def _prefill_stage(
    shape: ModelShape,
    kind: WeightKind,
    stage: Stage,
    machines: Machines,
    rows: float,
    prompt: int,
) -> Price:
    """One piece of ``rows`` tokens through one stage."""
    layers = stage.shares[0].layers.size
    computing, reading = 0.0, 0.0
    for rank, share in zip(stage.ranks, stage.shares, strict=True):
        device = machines.device(rank)
        products = 2 * rows * layers * active_parameters(shape, share)
        # Half of the scores are hidden by causality; scores and weighted values are two products.
        attention = 2 * rows * prompt * layers * share.heads.size * shape.head_dim
        computing = max(computing, (products + attention) / device.flops)
        weights = weight_bytes(shape, share, kind) / device.weight_bandwidth
        reading = max(reading, weights)
    overhead = layers * max(machines.device(rank).layer_overhead_s for rank in stage.ranks)
    bound = Price(compute_s=computing) if computing >= reading else Price(memory_s=reading)
    sums = _sums(shape, stage, machines, rows)
    return bound + Price(sums_s=sums, overhead_s=overhead)


def _decode_stage(
    shape: ModelShape,
    kind: WeightKind,
    stage: Stage,
    machines: Machines,
    context: int,
    batch: int,
) -> Price:
    layers = stage.shares[0].layers.size
    slowest = Price()
    for rank, share in zip(stage.ranks, stage.shares, strict=True):
        device = machines.device(rank)
        head = end_parameters(shape, share) if share.layers.end == shape.layers else 0
        read = weight_bytes(shape, share, kind)
        keys = kv_bytes(shape, share, tokens=context, sequences=batch)
        products = 2 * batch * (layers * active_parameters(shape, share) + head)
        reading = (read + keys) / device.weight_bandwidth
        computing = products / device.flops
        bound = Price(memory_s=reading) if reading >= computing else Price(compute_s=computing)
        slowest = max(slowest, bound, key=lambda price: price.seconds)
    overhead = layers * max(machines.device(rank).layer_overhead_s for rank in stage.ranks)
    return slowest + Price(sums_s=_sums(shape, stage, machines, batch), overhead_s=overhead)


def _sums(shape: ModelShape, stage: Stage, machines: Machines, rows: float) -> float:
    """The All-Reduces of a stage: two a layer, one for the embedding."""
    if len(stage.ranks) == 1:
        return 0.0
    share = stage.shares[0]
    count = 2 * share.layers.size + (share.layers.begin == 0)
    size = int(rows * shape.hidden * ACTIVATION_BYTES)
    return count * cheapest(size, machines.between(stage.ranks))[1]


def _hop(shape: ModelShape, machines: Machines, before: Stage, after: Stage, rows: float) -> float:
    link = machines.link(before.ranks[0], after.ranks[0])
    return link.latency_s + rows * shape.hidden * ACTIVATION_BYTES / link.bandwidth


def _step(layout: Layout) -> Price:
    return Price(overhead_s=STEP_OVERHEAD_S if layout.ranks > 1 else 0.0)


def _total(prices: Sequence[Price]) -> Price:
    total = Price()
    for price in prices:
        total += price
    return total


def _slowest(links: Sequence[LinkFacts]) -> LinkFacts:
    return LinkFacts(
        latency_s=max(link.latency_s for link in links),
        bandwidth=min(link.bandwidth for link in links),
    )
