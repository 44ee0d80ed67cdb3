"""The budget: never passed, used as well as it can be, refused with its sum."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banyan.core.errors import PlanImpossible
from banyan.plan.budget import Demand, Pace, fit, step_seconds

MIB = 1 << 20
SLOW_DISK = Pace(copy_bandwidth=1e9, layer_s=1e-3)


def demand(layers: int = 10, size: int = 100 * MIB) -> Demand:
    return Demand(layers=(size,) * layers, ends=50 * MIB, kv=30 * MIB, activations=20 * MIB)


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 1 << 30), min_size=1, max_size=40),
    fixed=st.lists(st.integers(0, 1 << 30), min_size=4, max_size=4),
    limit=st.integers(0, 1 << 34),
    bandwidth=st.floats(1e6, 1e12),
    layer_s=st.floats(0, 1),
)
def test_no_budget_is_passed_and_none_is_refused_that_holds_two_layers(
    sizes, fixed, limit, bandwidth, layer_s
):
    ends, kv, activations, runtime = fixed
    asked = Demand(layers=tuple(sizes), ends=ends, kv=kv, activations=activations, runtime=runtime)
    pace = Pace(copy_bandwidth=bandwidth, layer_s=layer_s)
    try:
        chosen = fit(asked, limit, pace)
    except PlanImpossible:
        assert sum(fixed) + 2 * max(sizes) > limit
        return
    assert chosen.peak <= limit
    assert sorted((*chosen.resident, *chosen.streamed)) == list(range(len(sizes)))
    assert bool(chosen.slots) == bool(chosen.streamed)
    assert all(sizes[layer] <= chosen.slot_bytes for layer in chosen.streamed)


def test_what_fits_stays():
    chosen = fit(demand(), 1200 * MIB, SLOW_DISK)
    assert (chosen.resident, chosen.slots) == (tuple(range(10)), 0)


def test_a_resident_layer_is_worth_more_than_a_third_slot_when_the_disk_is_slow():
    chosen = fit(demand(), 700 * MIB, SLOW_DISK)
    assert chosen.slots == 2
    assert len(chosen.resident) == 4


def test_layers_that_stay_lie_between_those_that_stream():
    chosen = fit(demand(), 800 * MIB, SLOW_DISK)
    assert chosen.streamed == (0, 2, 4, 6, 8)


def test_a_step_takes_as_long_as_the_disk_or_the_computing_whichever_is_longer():
    fast = Pace(copy_bandwidth=1e9, layer_s=0.001)
    assert step_seconds([0.01] * 10, 2, fast) == pytest.approx(0.1)
    slow = Pace(copy_bandwidth=1e9, layer_s=0.02)
    assert step_seconds([0.01] * 10, 2, slow) == pytest.approx(0.2)


def test_the_disk_works_on_while_a_step_ends_as_far_as_there_are_slots():
    pace = Pace(copy_bandwidth=1e9, layer_s=0.0, rest_s=0.03)
    assert step_seconds([0.01] * 10, 2, pace) == pytest.approx(0.11)
    assert step_seconds([0.01] * 10, 3, pace) == pytest.approx(0.1)


def test_more_memory_never_makes_a_step_slower():
    steps = [fit(demand(), limit * MIB, SLOW_DISK).step_s for limit in range(300, 1300, 50)]
    assert steps == sorted(steps, reverse=True)


def test_a_refusal_shows_the_sum_and_what_to_do():
    with pytest.raises(PlanImpossible, match=r"keys and values 30 MiB.*are 300 MiB") as caught:
        fit(demand(), 299 * MIB, SLOW_DISK)
    assert "kv_cache_bytes" in caught.value.remedy


def test_the_choice_is_told_with_its_sum():
    words = fit(demand(), 700 * MIB, SLOW_DISK).words
    assert words.startswith("4 of 10 layers stay (400 MiB); 6 pass through 2 slots (200 MiB)")
    assert words.endswith("700 MiB of 700 MiB")
