"""Layouts are chosen by what was measured, in the precision that will be computed in."""

from __future__ import annotations

from dataclasses import replace

from tests.plan.beds import B1

from banyan.core.layout import DeviceFacts, LinkFacts, Rates
from banyan.engine.cluster.choosing import facts_of, layout_of
from banyan.engine.cluster.frames import HostReport

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


REPORTS = [report("a", 20, 10), report("b", 20, 5)]


def test_a_fast_link_is_split_over_and_a_slow_one_is_crossed_once() -> None:
    fast = facts_of(REPORTS, {(0, 1): FAST, (1, 0): FAST})
    slow = facts_of(REPORTS, {(0, 1): SLOW, (1, 0): SLOW})
    assert fast.links[0][1] == FAST
    assert layout_of("auto", B1, "bf16", fast).name == "tp2"
    assert layout_of("auto", B1, "bf16", slow).name == "pp2"


def test_shares_go_by_the_speed_in_the_models_precision() -> None:
    facts = facts_of(REPORTS, {(0, 1): FAST, (1, 0): FAST})
    for name in ("auto", "tp"):
        alike, unlike = (
            [share.ffn.size for share in layout_of(name, B1, kind, facts).stages[0].shares]
            for kind in ("bf16", "packed")
        )
        assert alike[0] == alike[1]
        assert 1.8 < unlike[0] / unlike[1] < 2.2


def test_layers_of_a_pipeline_that_was_asked_for_go_by_speed() -> None:
    layout = layout_of("pp", B1, "packed", facts_of(REPORTS, {}))
    layers = [stage.shares[0].layers.size for stage in layout.stages]
    assert sum(layers) == B1.layers
    assert layers[0] > 1.7 * layers[1]


def test_one_host_splits_layers() -> None:
    alone = replace(REPORTS[0], ranks=4)
    assert layout_of("auto", B1, "bf16", facts_of([alone], {})).name == "tp4"
