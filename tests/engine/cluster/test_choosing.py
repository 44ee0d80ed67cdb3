"""Layouts are chosen by what was measured, in the precision that will be computed in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.plan.beds import B1

from banyan.core.errors import InputError, PlanImpossible
from banyan.core.layout import (
    ClusterOptions,
    DeviceFacts,
    Facts,
    Layout,
    LinkFacts,
    ModelShape,
    Rates,
)
from banyan.engine.cluster.choosing import check_layout, facts_of, layouts_of
from banyan.engine.cluster.frames import HostReport
from banyan.plan.matrices import WeightKind

FAST = LinkFacts(latency_s=2e-5, bandwidth=3e9, is_measured=True)
SLOW = LinkFacts(latency_s=2e-2, bandwidth=1e6, is_measured=True)


def report(name: str, bf16: float, packed: float) -> HostReport:
    """A host that reads so many gigabytes of weights a second."""
    rates = tuple(
        Rates(kind=kind, weight_bandwidth=speed * 1e9, flops=3e11)
        for kind, speed in (("bf16", bf16), ("packed", packed))
    )
    measured = DeviceFacts(
        kind="cpu",
        memory_bytes=10**10,
        weight_bandwidth=bf16 * 1e9,
        flops=3e11,
        copy_bandwidth=1e9,
        measured=rates,
    )
    return HostReport(
        name=name, ranks=1, device="cpu", cores=2, memory_bytes=16 * 10**9, measured=measured
    )


def asked(**options: Any) -> ClusterOptions:
    return ClusterOptions(workers=1, address="127.0.0.1", **options)


def layout(name: str, shape: ModelShape, kind: WeightKind, facts: Facts) -> Layout:
    (found,) = layouts_of(asked(layout=name), shape, kind, facts, 0)
    return found


KINDS: tuple[WeightKind, ...] = ("bf16", "packed")
REPORTS = [report("a", 20, 10), report("b", 20, 5)]


def test_a_fast_link_is_split_over_and_a_slow_one_is_crossed_once() -> None:
    fast = facts_of(REPORTS, {(0, 1): FAST, (1, 0): FAST})
    slow = facts_of(REPORTS, {(0, 1): SLOW, (1, 0): SLOW})
    assert fast.links[0][1] == FAST
    assert layout("auto", B1, "bf16", fast).name == "tp2"
    assert layout("auto", B1, "bf16", slow).name == "pp2"


def test_shares_go_by_the_speed_in_the_models_precision() -> None:
    facts = facts_of(REPORTS, {(0, 1): FAST, (1, 0): FAST})
    for name in ("auto", "tp"):
        alike, unlike = (
            [share.ffn.size for share in layout(name, B1, kind, facts).stages[0].shares]
            for kind in KINDS
        )
        assert alike[0] == alike[1]
        assert 1.8 < unlike[0] / unlike[1] < 2.2


def test_layers_of_a_pipeline_that_was_asked_for_go_by_speed() -> None:
    piped = layout("pp", B1, "packed", facts_of(REPORTS, {}))
    layers = [stage.shares[0].layers.size for stage in piped.stages]
    assert sum(layers) == B1.layers
    assert layers[0] > 1.7 * layers[1]


def test_one_host_splits_layers() -> None:
    alone = replace(REPORTS[0], ranks=4)
    assert layout("auto", B1, "bf16", facts_of([alone], {})).name == "tp4"


def hosts(*ranks: int) -> Facts:
    """Hosts a, b ... of so many ranks, on fast links."""
    reports = [
        replace(report(name, 20, 10), ranks=count)
        for name, count in zip("abcdefgh", ranks, strict=False)
    ]
    links = {(i, j): FAST for i in range(len(ranks)) for j in range(len(ranks)) if i != j}
    return facts_of(reports, links)


def names(facts: Facts, again: int = 0, **options: Any) -> list[str]:
    return [each.name for each in layouts_of(asked(**options), B1, "bf16", facts, again)]


@pytest.mark.parametrize(
    ("ranks", "options", "expected"),
    [
        ((2, 2), {"tp": 2, "pp": 2}, ["pp2 x tp2"]),
        ((2, 2), {"pp": 2}, ["pp2 x tp2"]),
        ((2, 2), {"tp": 4}, ["tp4"]),
        ((2, 2), {"tp": 2, "replicas": 2}, ["tp2", "tp2"]),
        ((2, 2), {"tp": 1, "pp": 1, "replicas": 4}, ["one rank"] * 4),
        ((1, 1, 1, 1), {"tp": 1, "pp": 2, "replicas": 2}, ["pp2", "pp2"]),
        ((1, 1, 1, 1), {"layout": "pp", "replicas": 2}, ["pp2", "pp2"]),
        ((1, 1, 1, 1), {"layout": "tp", "replicas": 2}, ["tp2", "tp2"]),
        ((3, 1), {"layout": "tp", "replicas": 2}, ["tp2", "tp2"]),
    ],
    ids=str,
)
def test_the_layout_that_was_asked_for_is_the_one_that_is_run(
    ranks: tuple[int, ...], options: dict[str, Any], expected: list[str]
) -> None:
    assert names(hosts(*ranks), **options) == expected


@pytest.mark.parametrize(
    ("ranks", "options", "arithmetic"),
    [
        ((2, 2), {"replicas": 3}, r"4 ranks \(a 2, b 2\) cannot be dealt to 3 replicas"),
        ((2, 2), {"tp": 3}, r"tp 3 x pp open is not the 4 ranks of a replica.*replicas 1"),
        ((2, 2), {"tp": 2, "pp": 1}, r"tp 2 x pp 1 is not the 4 ranks"),
        ((2, 2), {"tp": 2, "pp": 2, "replicas": 2}, r"is not the 2 ranks.*\(a 2\).*replicas 2"),
        ((1,), {"pp": 3}, r"tp open x pp 3 is not the 1 ranks"),
        ((3, 1), {"tp": 2, "pp": 2}, r"2 stages of 2 ranks tear a host apart: .*\(a 3, b 1\)"),
    ],
    ids=str,
)
def test_what_does_not_come_out_even_is_refused_with_the_arithmetic(
    ranks: tuple[int, ...], options: dict[str, Any], arithmetic: str
) -> None:
    with pytest.raises(PlanImpossible, match=arithmetic) as refused:
        names(hosts(*ranks), **options)
    assert refused.value.remedy


@pytest.mark.parametrize(
    "options",
    [{"layout": "tp", "pp": 2}, {"layout": "x"}, {"objective": "x"}, {"replicas": -1}],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        check_layout(asked(**options))


def test_throughput_over_slow_links_makes_replicas_and_one_answer_does_not() -> None:
    slow = facts_of(REPORTS, {(0, 1): SLOW, (1, 0): SLOW})
    assert names(slow, objective="throughput") == ["one rank", "one rank"]
    assert names(slow, objective="itl") == ["pp2"]
    assert names(slow, objective="throughput", again=1) == ["pp2"]
