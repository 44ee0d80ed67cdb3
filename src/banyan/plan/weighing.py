"""Weighing: the layouts that the engine could run on a group's ranks, best first, with why not."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from banyan.core.cluster import LayoutOption
from banyan.core.layout import Facts, ModelShape, Workload
from banyan.plan.arrangements import whole_hosts
from banyan.plan.candidates import Candidate, Pricer
from banyan.plan.matrices import WeightKind
from banyan.plan.planner import rejected

MAX_OPTIONS: Final = 12
"""How many are told; of many hosts there are more."""


@lru_cache(maxsize=4)  # asked again at every look at a cluster, while nothing changes
def weighed(
    shape: ModelShape, kind: WeightKind, facts: Facts, workload: Workload
) -> tuple[LayoutOption, ...]:
    """Priced for the workload on all ranks, each stage made of whole hosts. Empty where the model
    has too few parts for any."""
    pricer = Pricer(shape, kind, facts, workload)
    found = [each for every in whole_hosts(facts) for each in pricer.candidates(every)]
    found.sort(key=lambda each: (not each.fits, each.score(workload.objective)))
    return tuple(_option(each, found[0], workload) for each in found[:MAX_OPTIONS])


def _option(each: Candidate, best: Candidate, workload: Workload) -> LayoutOption:
    is_best = each is best and best.fits
    return LayoutOption(
        name=each.layout.name,
        layers=tuple(stage.shares[0].layers.size for stage in each.layout.stages),
        ttft_s=each.ttft.seconds,
        itl_s=each.itl.seconds,
        reason="" if is_best else rejected(each, best, workload.objective).reason,
    )
