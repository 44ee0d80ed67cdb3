"""Keys and values: what each way of holding them takes, and which one a budget gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.plan.beds import B1, GPT3

from banyan.core.errors import PlanImpossible
from banyan.plan.budget import Demand, KvWay, Pace, fit, with_keys
from banyan.plan.keys import KvRates, kv_ways

MIB = 1 << 20
PACE = Pace(copy_bandwidth=1e9, layer_s=1e-3)


def ways(shape=B1, *, computed="bf16", chosen=None, pages=640, rates=None) -> list[KvWay]:
    return list(
        kv_ways(
            shape,
            computed=computed,
            chosen=chosen,
            pages=pages,
            page_tokens=16,
            tokens=2048,
            record=lambda size: -(-size // 4096) * 4096,
            scales_stay=True,
            buffers=2 * MIB,
            rates=rates,
        )
    )


def test_they_stay_then_they_are_quantised_then_they_stream() -> None:
    stay, int8, streamed = ways()
    assert [way.kept for way in (stay, int8, streamed)] == ["bf16", "int8", "int8"]
    assert stay.near == 4 * 64 * 2 * 22 * 640 * 16 * 2
    assert int8.near == 4 * 66 * 22 * 640 * 16 * 2
    scales = 4 * 2 * 2 * 22 * 640 * 16
    assert streamed.near == 2 * int8.near // 22 + scales + 2 * MIB
    assert streamed.far == int8.near - scales  # two blocks of the disk a page
    assert (stay.far, int8.far) == (0, 0)


def test_what_the_operator_chose_is_not_quantised_further() -> None:
    assert [(way.kept, bool(way.far)) for way in ways(chosen="bf16")] == [
        ("bf16", False),
        ("bf16", True),
    ]
    assert {way.kept for way in ways(computed="fp32", chosen="int8")} == {"int8"}


def test_reading_int8_needs_room_for_what_is_kept_beside_what_is_computed_with() -> None:
    stay, int8, _ = ways()
    assert int8.gathered == stay.gathered + stay.gathered // 4


@pytest.mark.parametrize(("copied", "words"), [(12e9, "read on"), (55e9, "copied to")])
def test_a_card_decodes_where_its_keys_live_if_that_is_faster_than_their_way(copied, words) -> None:
    found = ways(rates=KvRates(copied=copied, attended=30e9))
    assert [way.on_host for way in found] == [False, False, copied < 30e9]
    assert words in found[-1].words
    assert "30.0 GB/s" in found[-1].words
    assert f"{copied / 1e9:.1f} GB/s" in found[-1].words


def demand(layer: int = 100 * MIB) -> Demand:
    return Demand(layers=(layer,) * 22, ends=50 * MIB, kv=0, activations=20 * MIB)


def least(way: KvWay) -> int:
    return 270 * MIB + way.near + way.gathered


def test_a_budget_gets_the_first_way_that_leaves_room_for_two_layers_and_says_why() -> None:
    stay, int8, streamed = ways()
    assert with_keys(demand(), ways(), least(stay)).way == stay
    found = fit(with_keys(demand(), ways(), least(stay) - 1), least(stay) - 1, PACE)
    assert found.demand.way == int8
    assert "keys and values in int8 114 MiB" in found.words
    assert found.words.endswith("with keys and values in bf16 1 MiB would be missing")
    limit = least(int8) - MIB
    found = fit(with_keys(demand(), ways(), limit), limit, PACE)
    assert found.demand.way == streamed
    assert "keys and values in int8, 2 layers of" in found.words
    assert "with keys and values in int8 1 MiB would be missing" in found.words


def test_where_no_way_fits_the_sum_of_the_least_is_shown() -> None:
    streamed = ways()[-1]
    with pytest.raises(PlanImpossible, match=r"2 layers of \d+ MiB at a time, 16 MiB"):
        with_keys(demand(), ways(), least(streamed) - 1)


@given(
    layers=st.lists(st.integers(1, 1 << 30), min_size=22, max_size=22),
    limit=st.integers(0, 1 << 36),
    pages=st.integers(1, 100_000),
    chosen=st.sampled_from([None, "bf16", "int8"]),
    shape=st.sampled_from([B1, GPT3]),
)
def test_no_budget_is_passed_and_a_way_is_passed_over_only_where_it_does_not_fit(
    layers, limit, pages, chosen, shape
) -> None:
    asked = Demand(layers=tuple(layers), ends=1, kv=0, activations=1)
    offered = ways(shape, chosen=chosen, pages=pages)
    sums = [2 + way.near + way.gathered + 2 * max(layers) for way in offered]
    try:
        found = with_keys(asked, offered, limit)
    except PlanImpossible:
        assert min(sums) > limit
        return
    assert found.way is not None
    place = offered.index(found.way)
    assert all(each > limit for each in sums[:place])
    assert fit(found, limit, PACE).peak <= limit
