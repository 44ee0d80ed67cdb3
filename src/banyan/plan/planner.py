"""Planner: which layout of a model suits these machines, and why not the others. Read this first.

    arrangements.py   which devices could make up stages and replicas
    balance.py        who gets how much: by speed, as far as memory goes
      sizes.py          what each rank must hold      -> fits, or not, with the arithmetic
    candidates.py     first token, time between tokens, throughput
      cost.py           a roofline per rank, sums, hops, bubbles
    plan              the best for each objective, and every other with its reason

Replicas, pipelines and tensor parallel are priced in every combination that the devices allow,
streaming only where nothing fits otherwise. ``choose_layouts`` is what the engine calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from banyan.core.errors import PlanImpossible
from banyan.core.layout import Facts, Layout, ModelShape, Objective, Workload
from banyan.plan.arrangements import Arrangement, arrangements, on_all_devices, whole_hosts
from banyan.plan.candidates import Candidate, Pricer
from banyan.plan.cost import Machines
from banyan.plan.matrices import WeightKind
from banyan.plan.shares import tensor_parallel
from banyan.plan.sizes import duration_in_words, in_words

OBJECTIVES: Final[tuple[Objective, ...]] = ("throughput", "ttft", "itl")
EQUAL: Final = 1.005
"""Ratio of two times up to which they are called equal."""
SMALLER: Final[tuple[WeightKind, ...]] = ("bf16", "int8", "packed")
"""Precisions to advise where nothing fits, from wide to narrow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``best`` by objective; ``rejected`` are all others, each with its reason. ``default`` is
    tensor parallel over everything, where the model has heads enough for it."""

    workload: Workload
    kind: WeightKind
    best: dict[Objective, Candidate]
    rejected: tuple[Candidate, ...]
    default: Candidate | None

    @property
    def chosen(self) -> Candidate:
        return self.best[self.workload.objective]


def plan(shape: ModelShape, kind: WeightKind, facts: Facts, workload: Workload) -> Plan:
    """The best layout that the engine runs for each objective; one that it does not run only where
    no other fits. Raises ``PlanImpossible`` when nothing fits."""
    found = _found(shape, kind, facts, workload)
    fitting = [candidate for candidate in found if candidate.fits]
    if not fitting:
        raise PlanImpossible(_shortfall(found), remedy=_remedy(shape, kind, facts, workload))
    pool = [candidate for candidate in fitting if candidate.is_run] or fitting
    best = {
        objective: min(pool, key=lambda candidate: candidate.score(objective))
        for objective in OBJECTIVES
    }
    winner = best[workload.objective]
    others = [
        rejected(candidate, winner, workload.objective)
        for candidate in found
        if candidate is not winner
    ]
    everything = Arrangement(((Machines.all_of(facts).ranks,),))
    default = next((each for each in found if each.arrangement == everything), None)
    return Plan(workload=workload, kind=kind, best=best, rejected=tuple(others), default=default)


def choose_layouts(
    shape: ModelShape,
    kind: WeightKind,
    facts: Facts,
    workload: Workload,
    *,
    replicas: int | None = None,
) -> tuple[Layout, ...]:
    """The best that the engine can run on all of these ranks: the layout of each replica, on the
    next ranks. ``replicas``: 1, or None for as many as are best. Where nothing fits by this
    arithmetic, what comes nearest."""
    pricer = Pricer(shape, kind, facts, workload)
    tried = set(whole_hosts(facts))
    if replicas is None:
        tried |= set(on_all_devices(facts, requests=workload.concurrency))
    found = [each for arrangement in tried for each in pricer.candidates(arrangement)]
    if not found:
        return (tensor_parallel(shape, _speeds(facts)),)  # raises, and says what is too few
    fitting = [candidate for candidate in found if candidate.fits]
    if fitting:
        best = min(fitting, key=lambda candidate: candidate.score(workload.objective))
    else:
        best = min(found, key=lambda candidate: candidate.tightest.excess)
    return tuple(replica.layout for replica in best.replicas)


def _found(
    shape: ModelShape, kind: WeightKind, facts: Facts, workload: Workload
) -> list[Candidate]:
    """Every candidate; with streamed weights as well, when none fits without."""
    pricer = Pricer(shape, kind, facts, workload)
    tried = list(arrangements(facts, requests=workload.concurrency))
    found = [candidate for each in tried for candidate in pricer.candidates(each)]
    if not any(candidate.fits for candidate in found):
        streamed = [each for every in tried for each in pricer.candidates(every, streams=True)]
        found += [candidate for candidate in streamed if candidate.is_streamed]
    return found


def _speeds(facts: Facts) -> list[float]:
    return [device.weight_bandwidth for host in facts.hosts for device in host.devices]


def rejected(candidate: Candidate, winner: Candidate, objective: Objective) -> Candidate:
    """The candidate with why it was not chosen, in words and in numbers."""
    if not candidate.fits:
        return replace(candidate, cause="does not fit", reason=_overflow(candidate))
    ours, theirs = candidate.price(objective), winner.price(objective)
    ratio = ours.seconds / theirs.seconds
    if 1 / ratio > EQUAL:
        reason = f"{1 / ratio:.2f}x faster, but the engine needs whole hosts in a stage."
        return replace(candidate, cause="is not run by the engine", reason=reason)
    if ratio < EQUAL:
        devices = len(candidate.arrangement.devices), len(winner.arrangement.devices)
        more = (
            f", on {devices[0]} devices instead of {devices[1]}" if devices[0] > devices[1] else ""
        )
        return replace(candidate, cause="is no faster", reason=f"As fast{more}.")
    added = {name: seconds - theirs.parts[name] for name, seconds in ours.parts.items()}
    most = max(added, key=added.__getitem__)
    reason = f"{ratio:.2f}x slower: {duration_in_words(added[most])} more for {most}."
    return replace(candidate, cause=f"loses time on {most}", reason=reason)


def _overflow(candidate: Candidate) -> str:
    rank, need = candidate.tightest, candidate.tightest.need
    return (
        f"A rank on {rank.host} needs {in_words(need.total)}: weights {need.weights / 1e9:.2f}, "
        f"keys and values {need.kv / 1e9:.2f}, activations {need.activations / 1e9:.2f} GB; it may "
        f"use {in_words(rank.limit)}."
    )


def _shortfall(candidates: Sequence[Candidate]) -> str:
    resident = [candidate for candidate in candidates if not candidate.is_streamed]
    if not resident:
        return "The model has too few heads, columns or layers for these machines."
    closest = min(resident, key=lambda candidate: candidate.tightest.excess)
    return f"No layout fits. The closest is {closest.name}: {_overflow(closest)}"


def _remedy(shape: ModelShape, kind: WeightKind, facts: Facts, workload: Workload) -> str:
    """What would fit: fewer requests at a time, or fewer bits."""
    fewer = workload.concurrency
    while fewer > 1:
        fewer //= 2
        if _any_fits(shape, kind, facts, replace(workload, concurrency=fewer)):
            return f"It fits with {fewer} requests at a time (--concurrency {fewer})."
    narrower = SMALLER[SMALLER.index(kind) + 1 :] if kind in SMALLER else SMALLER
    for smaller in narrower:
        if _any_fits(shape, smaller, facts, replace(workload, concurrency=1)):
            return f"It fits with --precision {smaller} and one request at a time."
    return "Add memory or machines, or take a smaller model or a shorter prompt."


def _any_fits(shape: ModelShape, kind: WeightKind, facts: Facts, workload: Workload) -> bool:
    return any(candidate.fits for candidate in _found(shape, kind, facts, workload))
