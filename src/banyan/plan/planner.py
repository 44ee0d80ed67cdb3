"""Planner: which layout of a model suits these machines, and why not the others. Read this first.

candidates    replicas, tensor parallel, pipelines, both; on all machines or without the weakest
sizes.py      what each rank must hold              -> fits, or not, with the arithmetic
cost.py       first token, time between tokens, throughput
plan          the best for each objective, and every other with its reason
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from banyan.core.errors import PlanImpossible
from banyan.core.layout import Facts, Layout, ModelShape, Objective, Stage, Workload
from banyan.plan.cost import (
    Machines,
    Price,
    decode,
    decode_tokens_per_s,
    prefill,
    streamed_decode,
)
from banyan.plan.shares import pipeline, tensor_parallel, whole
from banyan.plan.sizes import Need, WeightKind, in_words, need

USABLE: Final = 0.95
"""Part of a device's memory that is planned with; drivers and fragments take the rest."""
STEP_ROWS: Final = 512
OBJECTIVES: Final[tuple[Objective, ...]] = ("throughput", "ttft", "itl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A layout on some of the machines. ``needs`` and ``limits`` are by rank of one replica;
    ``tokens_per_s`` counts new tokens of all replicas. ``reason`` says why it was not chosen."""

    name: str
    layout: Layout
    hosts: tuple[str, ...]
    needs: tuple[Need, ...]
    limits: tuple[int, ...]
    ttft: Price
    itl: Price
    tokens_per_s: float
    is_streamed: bool = False
    reason: str = ""

    @property
    def fits(self) -> bool:
        return self.is_streamed or all(
            each.total <= limit for each, limit in zip(self.needs, self.limits, strict=True)
        )

    def score(self, objective: Objective) -> float:
        """Lower is better."""
        if objective == "throughput":
            return -self.tokens_per_s
        return self.ttft.seconds if objective == "ttft" else self.itl.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``best`` by objective; ``rejected`` are all others, each with its reason."""

    workload: Workload
    kind: WeightKind
    best: dict[Objective, Candidate]
    rejected: tuple[Candidate, ...]

    @property
    def chosen(self) -> Candidate:
        return self.best[self.workload.objective]


def plan(shape: ModelShape, kind: WeightKind, facts: Facts, workload: Workload) -> Plan:
    """The best layout for each objective. Raises ``PlanImpossible`` when nothing fits."""
    found = list(_candidates(shape, kind, facts, workload))
    fitting = [candidate for candidate in found if candidate.fits]
    if not fitting:
        raise PlanImpossible(_shortfall(found), remedy="Use fewer bits, a shorter context, more.")
    resident = [candidate for candidate in fitting if not candidate.is_streamed] or fitting
    best = {
        objective: min(resident, key=lambda candidate: candidate.score(objective))
        for objective in OBJECTIVES
    }
    winner = best[workload.objective]
    rejected = [
        _with_reason(candidate, winner, workload.objective)
        for candidate in found
        if candidate is not winner
    ]
    return Plan(workload=workload, kind=kind, best=best, rejected=tuple(rejected))


def choose_layout(shape: ModelShape, kind: WeightKind, facts: Facts, workload: Workload) -> Layout:
    """The best layout that uses every rank, which is what an engine that was given them runs."""
    ranks = len(Machines.all_of(facts).ranks)
    usable = [
        candidate
        for candidate in _candidates(shape, kind, facts, workload)
        if candidate.layout.ranks == ranks and candidate.layout.replicas == 1 and candidate.fits
    ]
    if not usable:
        return tensor_parallel(shape, _speeds(Machines.all_of(facts)))
    return min(usable, key=lambda candidate: candidate.score(workload.objective)).layout


def _candidates(
    shape: ModelShape, kind: WeightKind, facts: Facts, workload: Workload
) -> Iterator[Candidate]:
    """Every layout that the model's heads and layers allow, on all machines and on fewer."""
    for hosts in _host_sets(facts):
        for layout, machines in _layouts(shape, facts, hosts):
            yield _priced(shape, kind, layout, machines, workload)
    yield _streamed(shape, kind, facts, workload)


def _host_sets(facts: Facts) -> Iterator[tuple[int, ...]]:
    """All hosts, then without the weakest, and so on down to the strongest alone."""
    strength = [sum(device.flops for device in host.devices) for host in facts.hosts]
    order = sorted(range(len(facts.hosts)), key=lambda host: -strength[host])
    for count in range(len(order), 0, -1):
        yield tuple(sorted(order[:count]))


def _layouts(
    shape: ModelShape, facts: Facts, hosts: Sequence[int]
) -> Iterator[tuple[Layout, Machines]]:
    ranks = [(h, d) for h in hosts for d in range(len(facts.hosts[h].devices))]
    everything = Machines(facts, ranks)
    by_host = [[rank for rank, (h, _) in enumerate(ranks) if h == host] for host in hosts]
    speeds = _speeds(everything)
    per_host = [[speeds[rank] for rank in group] for group in by_host]
    single = Layout(stages=(_alone(shape),), replicas=len(ranks))
    yield single, everything
    attempts: list[Callable[[], Layout]] = []
    if len(ranks) > 1:
        attempts.append(partial(tensor_parallel, shape, speeds))
    if len(hosts) > 1:
        attempts.append(partial(pipeline, shape, per_host))
        attempts.append(partial(_replicated, shape, per_host))
    if len(ranks) > len(hosts):
        attempts.append(partial(pipeline, shape, [[speed] for speed in speeds]))
    for attempt in attempts:
        try:
            yield attempt(), everything
        except PlanImpossible:
            continue  # too few heads or layers for so many ranks


def _alone(shape: ModelShape) -> Stage:
    return Stage(ranks=(0,), shares=(whole(shape),))


def _replicated(shape: ModelShape, per_host: Sequence[Sequence[float]]) -> Layout:
    """One replica per host, its ranks splitting every layer; hosts count as the weakest."""
    ranks = min(len(speeds) for speeds in per_host)
    one = tensor_parallel(shape, [1.0] * ranks)
    return Layout(stages=one.stages, replicas=len(per_host))


def _speeds(machines: Machines) -> list[float]:
    """Ranks get work in proportion to the bandwidth that decoding lives on."""
    return [machines.device(rank).weight_bandwidth for rank in range(len(machines.ranks))]


def _priced(
    shape: ModelShape, kind: WeightKind, layout: Layout, machines: Machines, workload: Workload
) -> Candidate:
    tokens = workload.prompt + workload.generate
    sequences = -(-workload.concurrency // layout.replicas)
    rows = min(STEP_ROWS, workload.prompt * sequences)
    shares = [share for stage in layout.stages for share in stage.shares]
    needs = tuple(
        need(shape, share, kind, tokens=tokens, sequences=sequences, step_rows=rows)
        for share in shares
    )
    limits = tuple(int(USABLE * machines.device(rank).memory_bytes) for rank in range(len(shares)))
    first = prefill(shape, kind, layout, machines, prompt=workload.prompt)
    step = decode(shape, kind, layout, machines, context=tokens, batch=sequences)
    rate = decode_tokens_per_s(shape, kind, layout, machines, context=tokens, batch=sequences)
    all_prompts = prefill(shape, kind, layout, machines, prompt=workload.prompt, batch=sequences)
    made = sequences * workload.generate
    seconds = all_prompts.seconds + made / rate
    return Candidate(
        name=layout.name,
        layout=layout,
        hosts=tuple(dict.fromkeys(machines.facts.hosts[h].name for h, _ in machines.ranks)),
        needs=needs,
        limits=limits,
        ttft=first,
        itl=step,
        tokens_per_s=layout.replicas * made / seconds,
    )


def _streamed(shape: ModelShape, kind: WeightKind, facts: Facts, workload: Workload) -> Candidate:
    """The strongest device alone, the weights moving through it: what is left when nothing fits."""
    machines = Machines.all_of(facts)
    rank = max(range(len(machines.ranks)), key=lambda each: machines.device(each).copy_bandwidth)
    share, device = whole(shape), machines.device(rank)
    host = machines.ranks[rank][0]
    batch = workload.concurrency
    step = streamed_decode(shape, share, kind, device, batch=batch)
    first = streamed_decode(shape, share, kind, device, batch=workload.prompt)
    return Candidate(
        name="streamed",
        layout=Layout(stages=(_alone(shape),)),
        hosts=(facts.hosts[host].name,),
        needs=(),
        limits=(),
        ttft=first,
        itl=step,
        tokens_per_s=batch / step.seconds,
        is_streamed=True,
    )


def _with_reason(candidate: Candidate, winner: Candidate, objective: Objective) -> Candidate:
    if not candidate.fits:
        return replace(candidate, reason=_overflow(candidate))
    if candidate.is_streamed and not winner.is_streamed:
        return replace(candidate, reason="Not needed: the model fits without.")
    ours, theirs = candidate.score(objective), winner.score(objective)
    slower = theirs / ours if objective == "throughput" else ours / theirs
    price = candidate.ttft if objective == "ttft" else candidate.itl
    parts = {
        "sums between ranks": price.sums_s,
        "hops between stages": price.hops_s,
        "reading weights and keys": price.memory_s,
        "products": price.compute_s,
    }
    most = max(parts, key=parts.__getitem__)
    share = parts[most] / price.seconds if price.seconds else 0.0
    return replace(
        candidate, reason=f"{abs(slower):.2f}x slower; {share:.0%} of its time is {most}."
    )


def _overflow(candidate: Candidate) -> str:
    pairs = list(zip(candidate.needs, candidate.limits, strict=True))
    each, limit = max(pairs, key=lambda pair: pair[0].total - pair[1])
    return (
        f"A rank needs {in_words(each.total)}: weights {each.weights / 1e9:.2f}, keys and values "
        f"{each.kv / 1e9:.2f}, activations {each.activations / 1e9:.2f} GB; it may use "
        f"{in_words(limit)}."
    )


def _shortfall(candidates: Sequence[Candidate]) -> str:
    resident = [candidate for candidate in candidates if candidate.needs]
    closest = min(
        resident,
        key=lambda c: max(n.total - limit for n, limit in zip(c.needs, c.limits, strict=True)),
    )
    return f"No layout fits. The closest is {closest.name}: {_overflow(closest)}"
