"""What the planner advises, on machines whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.test_sizes import ARTICLE

from banyan.core.errors import PlanImpossible
from banyan.core.layout import Facts, LinkFacts, ModelShape, Workload
from banyan.plan.collectives import cheapest
from banyan.plan.cost import Machines, decode
from banyan.plan.devices import CARDS, facts_of
from banyan.plan.hosts import HostsFile, HostSpec
from banyan.plan.planner import OBJECTIVES, choose_layout, plan
from banyan.plan.shares import tensor_parallel, whole
from banyan.plan.sizes import weight_bytes

GIGABIT = LinkFacts(latency_s=1e-4, bandwidth=1e9 / 8)
B13 = ModelShape(
    layers=40, hidden=5120, ffn=13_824, heads=40, kv_heads=40, head_dim=128, vocab=32_000
)
B1 = ModelShape(layers=22, hidden=2048, ffn=5632, heads=32, kv_heads=4, head_dim=64, vocab=32_000)


def bed(
    hosts: int = 2, ranks: int = 4, device: str = "rtx2080ti", link: LinkFacts = GIGABIT
) -> Facts:
    specs = [HostSpec(name=f"h{i}", ranks=ranks, device=device) for i in range(hosts)]
    return facts_of(HostsFile(head=specs[0], hosts=tuple(specs[1:]), link=link))


def test_on_the_articles_bed_replicas_serve_most() -> None:
    found = plan(ARTICLE, "fp16", bed(), Workload(prompt=2048, generate=128, concurrency=32))
    assert found.chosen.name == "8 replicas"
    assert found.chosen.needs[0].total < 0.95 * 11e9
    assert all(each.reason for each in found.rejected)


def test_on_the_articles_bed_no_first_token_crosses_hosts_by_tensor_parallel() -> None:
    for prompt in (128, 512, 2048):
        found = plan(ARTICLE, "fp16", bed(), Workload(prompt=prompt, objective="ttft"))
        best = found.best["ttft"].layout
        for stage in best.stages:
            hosts = {rank // 4 for rank in stage.ranks}
            assert len(hosts) == 1
        tensor = next(each for each in found.rejected if each.name == "tp8")
        assert "sums between ranks" in tensor.reason


def test_13_billion_parameters_must_be_split_there() -> None:
    found = plan(B13, "fp16", bed(), Workload(concurrency=8))
    for best in found.best.values():
        assert best.layout.ranks > 1
    alone = next(each for each in found.rejected if each.name == "8 replicas")
    assert not alone.fits
    assert "26.0" in alone.reason


def test_what_fits_nowhere_is_streamed_or_refused_with_the_shortfall() -> None:
    huge = replace(B13, layers=400, ffn=60_000)
    found = plan(huge, "fp16", bed(), Workload(concurrency=1))
    assert found.chosen.is_streamed
    assert not any(each.fits for each in found.rejected if not each.is_streamed)


def test_the_engines_layout_uses_every_rank_and_runs_once() -> None:
    facts = bed(hosts=2, ranks=1, device="cpu")
    layout = choose_layout(B1, "bf16", facts, Workload(concurrency=1, objective="itl"))
    assert (layout.ranks, layout.replicas) == (2, 1)


@given(
    bandwidth=st.floats(1e6, 1e11),
    latency=st.floats(1e-6, 1e-2),
    hosts=st.integers(2, 4),
)
@settings(deadline=None, max_examples=60)
def test_splitting_a_token_over_hosts_pays_when_reading_saves_more_than_sums_cost(
    bandwidth: float, latency: float, hosts: int
) -> None:
    facts = bed(hosts, 1, "cpu", LinkFacts(latency_s=latency, bandwidth=bandwidth))
    machines = Machines.all_of(facts)
    layout = tensor_parallel(B1, [1.0] * hosts)
    split = decode(B1, "bf16", layout, machines, context=1)
    alone = decode(B1, "bf16", tensor_parallel(B1, [1.0]), machines, context=1)
    saved = alone.memory_s - split.memory_s
    sums = (2 * B1.layers + 1) * cheapest(B1.hidden * 2, machines.between(range(hosts)))[1]
    fixed = split.overhead_s - alone.overhead_s
    assert (split.seconds < alone.seconds) == (saved > sums + fixed)
    reading = weight_bytes(B1, whole(B1), "bf16") / CARDS["cpu"].weight_bandwidth
    assert saved == pytest.approx(reading * (1 - 1 / hosts), rel=0.15)


@given(
    hosts=st.integers(1, 3),
    ranks=st.integers(1, 4),
    device=st.sampled_from(sorted(CARDS)),
    prompt=st.integers(1, 4096),
    concurrency=st.integers(1, 64),
    layers=st.integers(4, 60),
)
@settings(deadline=None, max_examples=60)
def test_no_plan_passes_the_memory_of_a_rank_or_is_slower_than_splitting_everything(
    hosts: int, ranks: int, device: str, prompt: int, concurrency: int, layers: int
) -> None:
    shape = replace(ARTICLE, layers=layers)
    workload = Workload(prompt=prompt, concurrency=concurrency)
    try:
        found = plan(shape, "fp16", bed(hosts, ranks, device), workload)
    except PlanImpossible:
        return
    for objective in OBJECTIVES:
        best = found.best[objective]
        for need, limit in zip(best.needs, best.limits, strict=True):
            assert need.total <= limit
        default = [each for each in found.rejected if each.name == f"tp{hosts * ranks}"]
        for each in default:
            assert not each.fits or best.score(objective) <= each.score(objective)
