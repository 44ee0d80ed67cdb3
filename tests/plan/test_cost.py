"""What a step costs, and when splitting it pays."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.beds import ARTICLE, B1, B13, GIGABIT, bed

from banyan.core.layout import LinkFacts, Rates
from banyan.plan.collectives import cheapest
from banyan.plan.cost import MICRO_BATCH_TOKENS, STEP_OVERHEAD_S, Machines, Price, decode, prefill
from banyan.plan.devices import CARDS
from banyan.plan.shares import pipeline, tensor_parallel, whole
from banyan.plan.sizes import active_parameters, kv_bytes, read_bytes

ALONE = tensor_parallel(B1, [1.0])


def test_a_decoding_step_reads_its_weights_and_keys_once() -> None:
    card = CARDS["cpu"]
    price = decode(B1, "bf16", ALONE, Machines.all_of(bed(1, 1, "cpu")), context=512, batch=2)
    read = read_bytes(B1, whole(B1), "bf16", rows=2)
    read += kv_bytes(B1, whole(B1), tokens=512, sequences=2)
    assert price.memory_s == pytest.approx(read / card.weight_bandwidth)
    assert price.overhead_s == pytest.approx(B1.layers * card.layer_overhead_s)
    assert price.seconds == pytest.approx(price.memory_s + price.overhead_s)


def test_a_prompt_is_bound_by_products_and_a_batch_shares_what_is_read() -> None:
    machines = Machines.all_of(bed(1, 1, "cpu"))
    price = prefill(B1, "bf16", ALONE, machines, prompt=512)
    products = 2 * 512 * B1.layers * active_parameters(B1, whole(B1))
    assert price.memory_s == 0
    assert price.compute_s == pytest.approx(products / CARDS["cpu"].flops, rel=0.05)
    one = decode(B1, "bf16", ALONE, machines, context=16, batch=1).seconds
    assert decode(B1, "bf16", ALONE, machines, context=16, batch=4).seconds < 1.2 * one


@given(
    bandwidth=st.floats(1e6, 1e11),
    latency=st.floats(1e-6, 1e-2),
    hosts=st.integers(2, 4),
)
@settings(deadline=None, max_examples=60)
def test_splitting_a_token_over_hosts_pays_when_reading_saves_more_than_sums_cost(
    bandwidth: float, latency: float, hosts: int
) -> None:
    """The rule: t_weights (1 - 1/H) > 2 L t_allreduce, beside what is fixed."""
    machines = Machines.all_of(
        bed(hosts, 1, "cpu", LinkFacts(latency_s=latency, bandwidth=bandwidth))
    )
    layout = tensor_parallel(B1, [1.0] * hosts)
    split = decode(B1, "bf16", layout, machines, context=1)
    alone = decode(B1, "bf16", ALONE, machines, context=1)
    saved = alone.memory_s - split.memory_s
    sums = (2 * B1.layers + 1) * cheapest(B1.hidden * 2, machines.between(range(hosts)))[1]
    assert split.sums_s == pytest.approx(sums)
    assert (split.seconds < alone.seconds) == (saved > sums + STEP_OVERHEAD_S)
    reading = read_bytes(B1, whole(B1), "bf16", rows=1) / CARDS["cpu"].weight_bandwidth
    assert saved == pytest.approx(reading * (1 - 1 / hosts), rel=0.15)


def test_processors_pass_the_rule_over_a_gigabit_and_cards_with_resident_weights_do_not() -> None:
    for device, pays in (("cpu", True), ("rtx2080ti", False)):
        machines = Machines.all_of(bed(2, 1, device))
        alone = decode(B1, "bf16", ALONE, machines, context=512)
        split = decode(B1, "bf16", tensor_parallel(B1, [1.0] * 2), machines, context=512)
        assert (split.seconds < alone.seconds) is pays


def test_micro_batches_keep_the_stages_of_a_pipeline_busy_within_a_step() -> None:
    machines = Machines.all_of(bed(2, 1, "cpu"))
    piped = pipeline(B1, [[1.0], [1.0]])
    alone = prefill(B1, "bf16", ALONE, machines, prompt=2048).seconds

    def seconds(step_rows: int) -> float:
        return prefill(B1, "bf16", piped, machines, prompt=2048, step_rows=step_rows).seconds

    one_piece = seconds(MICRO_BATCH_TOKENS)
    assert one_piece > 0.95 * alone  # stages take turns
    assert seconds(2048) < seconds(512) < one_piece
    pieces = 2048 // MICRO_BATCH_TOKENS
    assert seconds(2048) == pytest.approx(alone / 2 * (pieces + 1) / pieces, rel=0.1)


def test_the_slowest_stage_or_hop_sets_the_pace() -> None:
    piped = pipeline(B1, [[1.0], [1.0]])
    slow = Machines.all_of(bed(2, 1, "rtx4090", LinkFacts(latency_s=1e-3, bandwidth=1e6)))
    price = prefill(B1, "bf16", piped, slow, prompt=1024)
    hop = 1e-3 + MICRO_BATCH_TOKENS * B1.hidden * 2 / 1e6
    assert price.hops_s == pytest.approx(4 * hop)


def test_over_a_gigabit_a_pipeline_reads_a_prompt_sooner_than_layers_split_over_hosts() -> None:
    machines = Machines.all_of(bed(2, 4))
    tensor = prefill(ARTICLE, "fp16", tensor_parallel(ARTICLE, [1.0] * 8), machines, prompt=512)
    piped = prefill(ARTICLE, "fp16", pipeline(ARTICLE, [[1.0] * 4] * 2), machines, prompt=512)
    assert piped.seconds < tensor.seconds / 5
    assert tensor.sums_s > 0.9 * tensor.seconds


@pytest.mark.parametrize("moved_gb", [1, 100])
def test_streamed_weights_are_waited_for_only_as_far_as_they_do_not_hide(moved_gb: int) -> None:
    machines, layout = Machines.all_of(bed(1, 1)), tensor_parallel(B13, [1.0])
    moved = {0: moved_gb * 10**9}
    copying = moved[0] / CARDS["rtx2080ti"].copy_bandwidth
    still = prefill(B13, "fp16", layout, machines, prompt=512)
    price = prefill(B13, "fp16", layout, machines, prompt=512, streamed=moved)
    assert price.stream_s == pytest.approx(max(0.0, copying - still.compute_s))
    assert price.compute_s == still.compute_s
    token = decode(B13, "fp16", layout, machines, context=16, streamed=moved)
    assert token.stream_s + token.memory_s == pytest.approx(max(copying, token.memory_s))


def test_the_slowest_rank_of_a_stage_counts() -> None:
    facts = bed(1, 2)
    slow = replace(facts.hosts[0].devices[1], weight_bandwidth=1e9)
    host = replace(facts.hosts[0], devices=(facts.hosts[0].devices[0], slow))
    machines = Machines.all_of(replace(facts, hosts=(host,)))
    even = tensor_parallel(B1, [1.0, 1.0])
    price = decode(B1, "bf16", even, machines, context=1)
    share = even.stages[0].shares[1]
    assert price.memory_s >= read_bytes(B1, share, "bf16", rows=1) / 1e9


def test_a_price_is_the_sum_of_its_named_parts() -> None:
    one = Price(compute_s=1, memory_s=2, stream_s=3, sums_s=4, hops_s=5, overhead_s=6)
    assert one.seconds == sum(one.parts.values()) == 21
    assert (one + one).seconds == one.times(2).seconds == 42
    assert len(one.parts) == 6


def test_ranks_are_seen_by_host_and_link() -> None:
    machines = Machines.all_of(bed(2, 4))
    between = machines.between(range(8))
    assert (between.hosts, between.per_host, between.remote) == (2, 4, GIGABIT)
    assert machines.between(range(4)).hosts == 1
    assert machines.link(0, 7) == GIGABIT
    assert machines.link(0, 3) == machines.facts.hosts[0].local


def test_where_a_copy_is_read_from_is_the_devices_own() -> None:
    facts = bed(1, 1, "cpu")
    (host,) = facts.hosts
    hosts = [replace(host, devices=(replace(host.devices[0], wide_rows=rows),)) for rows in (6, 64)]
    early, late_s = (
        decode(B1, "packed+copy", ALONE, Machines.all_of(each), context=16, batch=8).seconds
        for each in (replace(facts, hosts=(one,)) for one in hosts)
    )
    assert early > 2 * late_s  # bf16 is three times as many bytes


def test_every_precision_is_priced_by_its_own_rates() -> None:
    facts = bed(1, 1, "cpu")
    (host,) = facts.hosts
    slow = Rates(kind="packed", weight_bandwidth=1e9, flops=1e10)
    device = replace(host.devices[0], measured=(slow,))
    machines = Machines.all_of(replace(facts, hosts=(replace(host, devices=(device,)),)))
    read = read_bytes(B1, whole(B1), "packed", rows=1) + kv_bytes(B1, whole(B1), tokens=16)
    packed = decode(B1, "packed", ALONE, machines, context=16)
    assert packed.memory_s == pytest.approx(read / 1e9)
    assert decode(B1, "bf16", ALONE, machines, context=16) == decode(
        B1, "bf16", ALONE, Machines.all_of(facts), context=16
    )
