"""Choosing: how the ranks of all hosts are dealt to replicas, and how each lies on its own ones,
from what the operator asked for and what the hosts have measured of themselves.

``--tp T --pp P --replicas R`` say everything: R copies of the model, each P stages one after the
other, each stage T ranks that split its layers. What is left open follows from the others, for T x
P x R are all ranks there are, or is the planner's choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Final, get_args

from banyan.core.errors import InputError, PlanImpossible
from banyan.core.layout import (
    ClusterOptions,
    Facts,
    Layout,
    LinkFacts,
    ModelShape,
    Objective,
    Workload,
)
from banyan.engine.cluster.frames import HostReport
from banyan.plan.devices import Claim, claimed, with_links
from banyan.plan.matrices import WeightKind
from banyan.plan.planner import choose_layouts
from banyan.plan.shares import pipeline, tensor_parallel

LAYOUTS: Final = ("auto", "tp", "pp")
WORKLOADS: Final[Mapping[Objective, Workload]] = {
    "throughput": Workload(concurrency=32, objective="throughput"),
    "ttft": Workload(concurrency=1, objective="ttft"),
    "itl": Workload(concurrency=1, objective="itl"),
}
"""What ``auto`` plans for: many requests at a time, or the one that somebody waits for."""


def check_layout(options: ClusterOptions) -> None:
    """Raises ``InputError`` for what cannot be meant."""
    for what, value, known in (
        ("layout", options.layout, LAYOUTS),
        ("objective", options.objective, get_args(Objective)),
    ):
        if value not in known:
            raise InputError(f"{value!r} is not a {what}.", remedy=f"Choose {', '.join(known)}.")
    if min(options.tp, options.pp, options.replicas) < 0:
        raise InputError("--tp, --pp and --replicas must be 1 or more.")
    if options.layout != "auto" and (options.tp or options.pp):
        raise InputError(
            f"--layout {options.layout} and --tp or --pp both say how layers are dealt.",
            remedy="Give only one of them.",
        )


def facts_of(reports: Sequence[HostReport], links: Mapping[tuple[int, int], LinkFacts]) -> Facts:
    """What the hosts say of themselves, with the links that were measured between them."""
    claims = [
        Claim(
            name=report.name,
            device=report.device,
            ranks=report.ranks,
            cores=report.cores,
            memory_bytes=report.memory_bytes,
            measured=report.measured,
        )
        for report in reports
    ]
    return with_links(claimed(claims), links)


def layouts_of(
    options: ClusterOptions, shape: ModelShape, kind: WeightKind, facts: Facts, replicas: int
) -> tuple[Layout, ...]:
    """A layout for each replica, on the next ranks of the hosts; ``replicas`` 0: as asked for.

    Raises ``PlanImpossible``, with the arithmetic, for what these ranks or this model cannot be.
    """
    copies = replicas or options.replicas
    is_open = options.layout == "auto" and not (copies or options.tp or options.pp)
    if is_open and options.objective == "throughput":
        return choose_layouts(shape, kind, facts, WORKLOADS["throughput"])
    parts = _dealt(facts, copies or 1)
    return tuple(_layout(options, shape, kind, part) for part in parts)


def _dealt(facts: Facts, copies: int) -> list[Facts]:
    """The hosts' ranks in equal parts, one after the other."""
    total = sum(_counts(facts))
    if total % copies:
        either = ", ".join(str(each) for each in range(1, total + 1) if total % each == 0)
        raise PlanImpossible(
            f"{_told(facts)} cannot be dealt to {copies} replicas alike.",
            remedy=f"--replicas can be {either}.",
        )
    size = total // copies
    return [_part(facts, first, first + size) for first in range(0, total, size)]


def _part(facts: Facts, begin: int, end: int) -> Facts:
    """Of the ranks ``begin`` to ``end`` of all."""
    kept, first = {}, 0
    for number, host in enumerate(facts.hosts):
        devices = host.devices[max(0, begin - first) : max(0, end - first)]
        if devices:
            kept[number] = replace(host, devices=devices)
        first += len(host.devices)
    links = tuple(tuple(facts.links[i][j] for j in kept) for i in kept)
    return Facts(hosts=tuple(kept.values()), links=links)


def _layout(options: ClusterOptions, shape: ModelShape, kind: WeightKind, facts: Facts) -> Layout:
    """Of one replica; shares are by speed."""
    speeds = [
        [device.rates(kind).weight_bandwidth for device in host.devices] for host in facts.hosts
    ]
    everyone = [speed for host in speeds for speed in host]
    if options.tp or options.pp:
        size = _stage_size(options, facts)
        return pipeline(
            shape, [everyone[first : first + size] for first in range(0, len(everyone), size)]
        )
    if options.layout == "pp":
        return pipeline(shape, speeds)
    if options.layout == "tp" or len(speeds) == 1:
        return tensor_parallel(shape, everyone)
    workload = WORKLOADS[options.objective]
    (layout,) = choose_layouts(shape, kind, facts, workload, replicas=1)
    return layout


def _stage_size(options: ClusterOptions, facts: Facts) -> int:
    """Ranks of each stage; raises ``PlanImpossible`` where they do not come out even."""
    counts = _counts(facts)
    total = sum(counts)
    tp = options.tp or max(1, total // options.pp)
    pp = options.pp or total // tp
    if tp * pp != total:
        raise PlanImpossible(
            f"tp {options.tp or 'open'} x pp {options.pp or 'open'} is not the {total} ranks of a "
            f"replica: {_told(facts)}, replicas {options.replicas or 1}.",
            remedy="tp x pp x replicas must be the ranks of all hosts; --layout auto chooses.",
        )
    if not set(range(tp, total, tp)) <= set(accumulate(counts)):
        raise PlanImpossible(
            f"{pp} stages of {tp} ranks tear a host apart: {_told(facts)}.",
            remedy="Let every stage have whole hosts.",
        )
    return tp


def _counts(facts: Facts) -> list[int]:
    return [len(host.devices) for host in facts.hosts]


def _told(facts: Facts) -> str:
    """``3 ranks (head 1, attic 2)``."""
    each = ", ".join(f"{host.name} {len(host.devices)}" for host in facts.hosts)
    return f"{sum(_counts(facts))} ranks ({each})"
