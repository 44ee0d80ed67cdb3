"""Choosing: which layout a group gets, from what its hosts have measured of themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from banyan.core.layout import Facts, Layout, LinkFacts, ModelShape, Workload
from banyan.engine.cluster.frames import HostReport
from banyan.plan.devices import Claim, claimed, with_links
from banyan.plan.matrices import WeightKind
from banyan.plan.planner import choose_layout
from banyan.plan.shares import pipeline, tensor_parallel

LAYOUTS: Final = ("auto", "tp", "pp")
WORKLOAD: Final = Workload(concurrency=1, objective="itl")
"""What ``auto`` is best for: the time between the tokens of one answer."""


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


def layout_of(name: str, shape: ModelShape, kind: WeightKind, facts: Facts) -> Layout:
    """The layout that was asked for; ``auto`` is the planner's. Shares are by speed.

    Raises ``PlanImpossible`` for a model with too few parts.
    """
    if name == "auto" and len(facts.hosts) > 1:
        return choose_layout(shape, kind, facts, WORKLOAD)
    speeds = [
        [device.rates(kind).weight_bandwidth for device in host.devices] for host in facts.hosts
    ]
    if name == "pp":
        return pipeline(shape, speeds)
    return tensor_parallel(shape, [speed for host in speeds for speed in host])
