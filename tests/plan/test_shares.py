"""Dealing a model to ranks: nothing is lost, nothing is cut where it may not be."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from banyan.core.errors import PlanImpossible
from banyan.core.layout import Interval, Layout, ModelShape, from_json, to_json
from banyan.plan.shares import (
    GRAIN,
    divide,
    divide_heads,
    kv_heads_of,
    pipeline,
    shares,
    tensor_parallel,
    whole,
)

SPEEDS = st.lists(st.floats(0.1, 20.0), min_size=1, max_size=9)
SMOL = ModelShape(
    layers=30, hidden=576, ffn=1536, heads=9, kv_heads=3, head_dim=64, vocab=49152, tied=True
)
EIGHT_B = ModelShape(
    layers=32, hidden=4096, ffn=14336, heads=32, kv_heads=8, head_dim=128, vocab=128256
)


def sizes(intervals: tuple[Interval, ...]) -> list[int]:
    return [interval.size for interval in intervals]


def covers(intervals: tuple[Interval, ...], total: int) -> bool:
    ends = [0, *(interval.end for interval in intervals)]
    return ends[-1] == total and ends[:-1] == [interval.begin for interval in intervals]


@given(total=st.integers(1, 5000), unit=st.integers(1, 64), weights=SPEEDS)
def test_whole_units_are_dealt_without_gap_and_as_near_to_the_weights_as_they_allow(
    total, unit, weights
):
    units = -(-total // unit)
    assume(units >= len(weights))
    dealt = divide(total, weights, unit=unit)
    assert covers(dealt, total)
    assert all(interval.size > 0 for interval in dealt)
    assert all(interval.end % unit == 0 for interval in dealt[:-1])
    ideal = [weight / sum(weights) * units for weight in weights]
    if min(ideal) >= 1:
        for interval, share in zip(dealt, ideal, strict=True):
            assert math.floor(share) <= -(-interval.size // unit) <= math.ceil(share)


def test_unequal_ranks_get_unequal_parts():
    assert sizes(divide(96, [2.0, 1.0], unit=32)) == [64, 32]
    assert sizes(divide(9, [5.0, 3.0, 1.0])) == [5, 3, 1]
    assert sizes(divide(100, [1.0, 1.0, 1.0], unit=32)) == [64, 32, 4]
    assert sizes(divide(8, [1000.0, 1.0, 1.0])) == [6, 1, 1]


@given(kv_heads=st.integers(1, 9), group=st.integers(1, 16), weights=SPEEDS)
def test_every_rank_has_the_key_value_heads_its_query_heads_read(kv_heads, group, weights):
    heads = kv_heads * group
    assume(heads >= len(weights))
    cut = divide_heads(heads, group, weights)
    assert covers(cut, heads)
    for own in cut:
        kept = kv_heads_of(own, group)
        served, rest = divmod(own.size, len(kept))
        assert rest == 0
        for place, head in enumerate(range(own.begin, own.end)):
            assert kept[place // served] == head // group


@given(kv_heads=st.integers(1, 9), group=st.integers(1, 16), weights=SPEEDS)
def test_the_slowest_rank_never_has_more_to_do_than_with_heads_dealt_one_by_one(
    kv_heads, group, weights
):
    heads = kv_heads * group
    assume(heads >= len(weights))

    def slowest(cut: tuple[Interval, ...]) -> float:
        return max(
            (own.size + len(kv_heads_of(own, group))) / weight
            for own, weight in zip(cut, weights, strict=True)
        )

    assert slowest(divide_heads(heads, group, weights)) <= slowest(divide(heads, weights))


@pytest.mark.parametrize(
    ("heads", "group", "weights", "expected"),
    [
        (9, 3, [1.0, 1.0], [6, 3]),
        (9, 3, [1.0] * 3, [3, 3, 3]),
        (9, 3, [1.0] * 4, [3, 2, 2, 2]),
        (32, 4, [1.0] * 8, [4] * 8),
        (32, 4, [1.0] * 16, [2] * 16),
        (32, 4, [2.0, 1.0], [20, 12]),
        (32, 8, [1.0] * 3, [12, 12, 8]),
        (32, 1, [2.0, 1.0], [21, 11]),
    ],
)
def test_heads_are_cut_at_the_ends_of_their_groups_where_that_is_faster(
    heads, group, weights, expected
):
    assert sizes(divide_heads(heads, group, weights)) == expected


def test_more_ranks_than_key_value_heads_keep_one_each():
    dealt = shares(EIGHT_B, [1.0] * 16)
    assert [share.kv_heads for share in dealt] == [(rank // 2,) for rank in range(16)]


def test_cuts_fall_on_the_grain_of_quantised_numbers():
    for weights in ([1.0] * 3, [2.0, 1.0], [5.0, 3.0, 1.0], [1.0] * 8):
        dealt = shares(SMOL, weights)
        assert covers(tuple(share.ffn for share in dealt), SMOL.ffn)
        assert covers(tuple(share.vocab for share in dealt), SMOL.vocab)
        assert all(not share.ffn.end % GRAIN and not share.vocab.end % GRAIN for share in dealt)


def test_a_single_rank_has_everything():
    share = whole(SMOL)
    assert share.kv_heads == (0, 1, 2)
    assert (share.heads.size, share.ffn.size, share.vocab.size) == (9, 1536, 49152)
    assert tensor_parallel(SMOL, [3.0]).share(0) == share


def test_stages_have_layers_as_their_ranks_are_fast():
    layout = pipeline(SMOL, [[1.0, 1.0], [1.0]])
    assert [stage.ranks for stage in layout.stages] == [(0, 1), (2,)]
    assert [stage.shares[0].layers for stage in layout.stages] == [
        Interval(0, 20),
        Interval(20, 30),
    ]
    assert layout.share(2).vocab == Interval(0, SMOL.vocab)
    assert layout.name == "pp2 x tp2"


def test_experts_are_dealt_instead_of_columns():
    shape = ModelShape(
        layers=2,
        hidden=64,
        ffn=64,
        heads=4,
        kv_heads=2,
        head_dim=16,
        vocab=320,
        experts=6,
        experts_per_token=2,
    )
    dealt = shares(shape, [2.0, 1.0])
    assert [share.experts for share in dealt] == [Interval(0, 4), Interval(4, 6)]
    assert all(share.ffn == Interval(0, 64) for share in dealt)


@pytest.mark.parametrize(
    ("changed", "ranks", "words"),
    [
        ({}, 10, "9 attention heads make 9, too few for 10 ranks"),
        (
            {"ffn": 96},
            4,
            "96 feed-forward columns in parts of 32 make 3, too few for 4 ranks",
        ),
        ({"vocab": 70}, 4, "70 tokens of the vocabulary in parts of 32 make 3"),
        ({"experts": 3, "experts_per_token": 1}, 4, "3 experts make 3, too few for 4 ranks"),
    ],
)
def test_too_many_ranks_are_refused_with_the_arithmetic(changed, ranks, words):
    shape = replace(SMOL, **changed)
    with pytest.raises(PlanImpossible, match=words) as refused:
        shares(shape, [1.0] * ranks)
    most = words.split(" make ")[1].split(",")[0]
    assert refused.value.remedy == f"Have at most {most} ranks in a stage."


def test_more_stages_than_layers_are_refused():
    with pytest.raises(PlanImpossible, match="30 layers make 30, too few for 31 stages"):
        pipeline(SMOL, [[1.0]] * 31)


@pytest.mark.parametrize("weights", [[], [1.0, 0.0], [1.0, -1.0], [math.inf, 1.0], [math.nan]])
def test_speeds_that_are_none_are_refused(weights):
    with pytest.raises(PlanImpossible, match="speeds"):
        divide(10, weights)


def test_a_layout_survives_a_wire():
    layout = pipeline(SMOL, [[5.0, 3.0, 1.0], [1.0, 1.0]])
    assert from_json(Layout, to_json(layout)) == layout
