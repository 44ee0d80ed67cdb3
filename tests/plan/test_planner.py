"""What the planner advises, on machines whose answer is known."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.beds import ARTICLE, B1, B13, bed, mixed

from banyan.core.errors import PlanImpossible
from banyan.core.layout import (
    DeviceFacts,
    Facts,
    HostFacts,
    Layout,
    LinkFacts,
    ModelShape,
    Workload,
)
from banyan.plan.candidates import Candidate
from banyan.plan.devices import CARD_LINK
from banyan.plan.matrices import WeightKind
from banyan.plan.planner import OBJECTIVES, Plan, choose_layouts, plan


def everything(found: Plan) -> list[Candidate]:
    return [found.chosen, *found.rejected]


def crosses_hosts(candidate: Candidate) -> bool:
    """Whether a layer is split over several hosts."""
    groups = [group for stages in candidate.arrangement.replicas for group in stages]
    return any(len({host for host, _ in group}) > 1 for group in groups)


def one_layout(shape: ModelShape, kind: WeightKind, facts: Facts, workload: Workload) -> Layout:
    (layout,) = choose_layouts(shape, kind, facts, workload, replicas=1)
    return layout


def test_on_the_articles_bed_replicas_serve_most() -> None:
    found = plan(ARTICLE, "fp16", bed(), Workload(prompt=2048, generate=128, concurrency=32))
    assert found.chosen.name == "8 replicas"
    assert [replica.sequences for replica in found.chosen.replicas] == [4] * 8
    assert found.chosen.tightest.need.total < 0.95 * 11e9
    assert all(each.reason for each in found.rejected)


def test_no_card_of_the_articles_bed_holds_all_32_requests() -> None:
    found = plan(ARTICLE, "fp16", bed(), Workload(prompt=2048, generate=0, concurrency=32))
    alone = next(each for each in found.rejected if each.name == "one rank")
    assert not alone.fits
    assert round(alone.ranks[0].need.kv / 1e9, 1) == 21.8
    assert "keys and values 21.8" in alone.reason


def test_on_the_articles_bed_no_first_token_crosses_hosts_by_tensor_parallel() -> None:
    for prompt in (128, 512, 2048):
        workload = Workload(prompt=prompt, objective="ttft", concurrency=1)
        found = plan(ARTICLE, "fp16", bed(), workload)
        assert not crosses_hosts(found.best["ttft"])
        tensor = next(each for each in found.rejected if each.name == "tp8")
        assert "sums between ranks" in tensor.reason


def test_13_billion_parameters_must_be_split_there() -> None:
    found = plan(B13, "fp16", bed(), Workload(concurrency=8))
    for best in found.best.values():
        assert best.layout.ranks > 1
    alone = next(each for each in found.rejected if each.name == "8 replicas")
    assert not alone.fits
    assert "26.0" in alone.reason


def test_what_fits_nowhere_is_streamed_and_never_passes_the_memory() -> None:
    huge = replace(B13, layers=400)
    found = plan(huge, "fp16", bed(), Workload(concurrency=1))
    assert found.chosen.is_streamed
    assert found.chosen.price("throughput").stream_s > 0
    assert not any(each.fits for each in everything(found) if not each.is_streamed)
    for rank in found.chosen.ranks:
        assert rank.need.total <= rank.limit
        assert 0 < rank.need.streamed < rank.need.streamed + rank.need.weights


def test_what_fits_resident_is_never_streamed() -> None:
    found = plan(B13, "fp16", bed(), Workload(concurrency=8))
    assert not any(each.is_streamed for each in everything(found))


@pytest.mark.parametrize(
    ("shape", "kind", "workload", "remedy"),
    [
        (ARTICLE, "fp16", Workload(prompt=100_000, concurrency=64), "--concurrency"),
        (replace(B13, hidden=40_000, ffn=80_000), "fp32", Workload(concurrency=1), "--precision"),
        (B13, "packed", Workload(prompt=1_000_000, concurrency=1), "Add memory"),
    ],
)
def test_what_is_impossible_is_refused_with_the_shortfall_and_what_would_fit(
    shape: ModelShape, kind: WeightKind, workload: Workload, remedy: str
) -> None:
    with pytest.raises(PlanImpossible, match=r"needs .* GB .* it may use 10.45 GB") as refused:
        plan(shape, kind, bed(hosts=1), workload)
    assert remedy in refused.value.remedy


def test_a_weak_host_is_left_out_where_the_others_are_faster_without() -> None:
    facts = mixed((1, "cpu"), (1, "cpu"), (1, "pi5"))
    found = plan(B1, "bf16", facts, Workload(concurrency=1, objective="ttft"))
    assert all(best.hosts[-1] != "h2" for best in found.best.values())
    with_it = [each for each in found.rejected if "h2" in each.hosts]
    assert with_it
    assert all("slower" in each.reason for each in with_it)


def test_unlike_replicas_share_the_requests_by_speed_and_memory() -> None:
    facts = mixed((1, "rtx4090"), (1, "rtx2080ti"))
    found = plan(ARTICLE, "fp16", facts, Workload(prompt=2048, generate=128, concurrency=12))
    replicas = next(each for each in everything(found) if each.name == "2 replicas").replicas
    assert sum(replica.sequences for replica in replicas) == 12
    assert replicas[0].sequences >= 2 * replicas[1].sequences
    assert all(replica.fits for replica in replicas)


def test_requests_that_are_fewer_than_the_devices_do_not_count_twice() -> None:
    found = plan(ARTICLE, "fp16", bed(), Workload(concurrency=1))
    assert all(each.layout.replicas == 1 for each in everything(found))
    best = found.chosen
    assert best.tokens_per_s == pytest.approx(128 / best.work.seconds)


def test_the_engines_layout_has_every_rank_once_and_whole_hosts_in_its_stages() -> None:
    for facts in (bed(2, 1, "cpu"), bed(2, 4), bed(3, 2, "cpu"), mixed((1, "cpu"), (3, "pi5"))):
        host_of = [number for number, host in enumerate(facts.hosts) for _ in host.devices]
        for objective in OBJECTIVES:
            layout = one_layout(B1, "bf16", facts, Workload(concurrency=1, objective=objective))
            assert layout.replicas == 1
            ranks = [rank for stage in layout.stages for rank in stage.ranks]
            assert ranks == list(range(len(host_of)))
            stage_of_host = {host_of[rank]: layout.stage(rank) for rank in ranks}
            assert all(stage_of_host[host_of[rank]] == layout.stage(rank) for rank in ranks)


def test_the_engines_layout_is_the_planners_choice_where_all_hosts_are_best() -> None:
    workload = Workload(concurrency=1, objective="itl")
    facts = bed(2, 1, "cpu")
    assert (
        one_layout(B1, "bf16", facts, workload) == plan(B1, "bf16", facts, workload).chosen.layout
    )
    slow = bed(2, 1, "cpu", LinkFacts(latency_s=5e-3, bandwidth=1e6))
    assert len(one_layout(B1, "bf16", slow, workload).stages) == 2


def test_cards_with_resident_weights_pipeline_over_a_gigabit_and_do_not_split_layers() -> None:
    layout = one_layout(B13, "fp16", bed(2, 4), Workload(concurrency=1, objective="itl"))
    assert layout.name == "pp2 x tp4"


def test_a_layout_that_fits_nowhere_is_still_the_nearest_one() -> None:
    huge = replace(B13, layers=400)
    layout = one_layout(huge, "fp16", bed(2, 1), Workload(concurrency=1, objective="itl"))
    assert layout.ranks == 2


def test_too_few_heads_for_the_ranks_are_named() -> None:
    with pytest.raises(PlanImpossible, match="attention heads"):
        one_layout(replace(B1, heads=4), "bf16", bed(1, 8), Workload())


devices = st.builds(
    DeviceFacts,
    kind=st.just("cuda"),
    memory_bytes=st.integers(10**9, 30 * 10**9),
    weight_bandwidth=st.floats(5e9, 1e12),
    flops=st.floats(1e11, 1e14),
    copy_bandwidth=st.floats(1e9, 5e10),
)


@st.composite
def clusters(draw: st.DrawFn) -> Facts:
    """Up to three hosts of up to four devices, every one its own."""
    hosts = tuple(
        HostFacts(name=f"h{i}", devices=tuple(host), local=CARD_LINK)
        for i, host in enumerate(
            draw(st.lists(st.lists(devices, min_size=1, max_size=4), min_size=1, max_size=3))
        )
    )
    link = LinkFacts(latency_s=draw(st.floats(1e-5, 1e-2)), bandwidth=draw(st.floats(1e6, 1e10)))
    links = tuple(tuple(link for _ in hosts) for _ in hosts)
    return Facts(hosts=hosts, links=links)


@given(
    facts=clusters(),
    prompt=st.integers(1, 4096),
    concurrency=st.integers(1, 64),
    layers=st.integers(3, 60),
    kind=st.sampled_from(["fp16", "int8", "packed"]),
)
@settings(deadline=None, max_examples=40)
def test_no_plan_passes_the_memory_of_a_rank_or_is_slower_than_splitting_everything(
    facts: Facts, prompt: int, concurrency: int, layers: int, kind: WeightKind
) -> None:
    shape = replace(ARTICLE, layers=layers)
    workload = Workload(prompt=prompt, concurrency=concurrency)
    try:
        found = plan(shape, kind, facts, workload)
    except PlanImpossible:
        return
    for objective in OBJECTIVES:
        best = found.best[objective]
        for rank in best.ranks:
            assert rank.need.total <= rank.limit
        covered = [
            sum(stage.shares[0].layers.size for stage in replica.layout.stages)
            for replica in best.replicas
        ]
        assert covered == [layers] * len(best.replicas)
        assert sum(replica.sequences for replica in best.replicas) >= concurrency
        if found.default is not None and found.default.fits:
            assert best.score(objective) <= found.default.score(objective)


@given(facts=clusters(), more=st.floats(1.0, 4.0), concurrency=st.integers(1, 32))
@settings(deadline=None, max_examples=25)
def test_more_memory_never_takes_the_best_plan_away(
    facts: Facts, more: float, concurrency: int
) -> None:
    workload = Workload(concurrency=concurrency)
    try:
        before = plan(ARTICLE, "fp16", facts, workload)
    except PlanImpossible:
        return
    hosts = tuple(
        replace(
            host,
            devices=tuple(
                replace(device, memory_bytes=int(more * device.memory_bytes))
                for device in host.devices
            ),
        )
        for host in facts.hosts
    )
    after = plan(ARTICLE, "fp16", replace(facts, hosts=hosts), workload)
    same = [each for each in everything(after) if each.arrangement == before.chosen.arrangement]
    assert any(each.fits for each in same)
    if not before.chosen.is_streamed:
        assert not after.chosen.is_streamed


def test_a_thousand_plans_are_quick() -> None:
    """Thirty seconds on a laptop are 30 ms each; here a few, with room for a busy machine."""
    facts = bed()
    began = time.process_time()
    for prompt in range(2048, 2058):
        plan(ARTICLE, "fp16", facts, Workload(prompt=prompt))
    assert time.process_time() - began < 10 * 0.15


def test_the_article_bed_runs_eight_replicas_for_throughput_and_one_for_an_answer() -> None:
    facts = bed(2, 4)
    many = choose_layouts(ARTICLE, "fp16", facts, Workload(prompt=2048))
    assert [layout.name for layout in many] == ["one rank"] * 8
    one = choose_layouts(ARTICLE, "fp16", facts, Workload(concurrency=1, objective="itl"))
    assert len(one) == 1
    assert one[0].ranks == 8


def test_layouts_of_replicas_take_every_rank_once() -> None:
    for hosts, ranks in ((1, 4), (2, 2), (3, 1), (4, 2)):
        for requests in (1, 2, 4, 32):
            workload = Workload(prompt=64, concurrency=requests)
            found = choose_layouts(B1, "bf16", bed(hosts, ranks), workload)
            assert sum(layout.ranks for layout in found) == hosts * ranks
            assert len(found) <= requests
