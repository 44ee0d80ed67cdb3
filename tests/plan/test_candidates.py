"""Candidates: what each rank would hold, what a layout costs, and who gets how many requests."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.beds import ARTICLE, B1, B13, bed, mixed

from banyan.core.layout import Facts, ModelShape, Workload
from banyan.plan.arrangements import Arrangement, arrangements
from banyan.plan.balance import USABLE
from banyan.plan.candidates import STREAM_WINDOW, Candidate, Pricer
from banyan.plan.sizes import layer_bytes, need, weight_bytes

WORKLOAD = Workload(prompt=512, generate=128, concurrency=4)


def candidates(
    shape: ModelShape, facts: Facts, arrangement: Arrangement, *, streams: bool = False
) -> list[Candidate]:
    return list(Pricer(shape, "fp16", facts, WORKLOAD).candidates(arrangement, streams=streams))


def test_a_rank_is_said_to_need_what_its_share_takes() -> None:
    facts = bed(1, 2)
    (found,) = candidates(ARTICLE, facts, Arrangement(((((0, 0), (0, 1)),),)))
    assert found.name == "tp2"
    for rank, share in zip(found.ranks, found.layout.stages[0].shares, strict=True):
        expected = need(ARTICLE, share, "fp16", tokens=640, sequences=4, step_rows=512)
        assert rank.need == expected
        assert rank.limit == int(USABLE * facts.hosts[0].devices[0].memory_bytes)
    assert found.tightest.need.total == max(rank.need.total for rank in found.ranks)


def test_the_ranks_of_replicas_that_are_alike_have_the_names_of_their_own_hosts() -> None:
    (found,) = candidates(ARTICLE, bed(2, 1), Arrangement(((((0, 0),),), (((1, 0),),))))
    assert [rank.host for rank in found.ranks] == ["h0", "h1"]
    assert found.hosts == ("h0", "h1")
    assert [replica.sequences for replica in found.replicas] == [2, 2]


def test_unlike_stages_are_dealt_evenly_and_with_the_fastest_filled_first() -> None:
    facts = mixed((1, "rtx4090"), (1, "rtx3060"))
    even, filled = candidates(ARTICLE, facts, Arrangement(((((0, 0),), ((1, 0),)),)))
    layers = [
        [stage.shares[0].layers.size for stage in each.layout.stages] for each in (even, filled)
    ]
    assert layers[0][0] > layers[0][1]
    assert layers[1][0] > layers[0][0]
    assert filled.itl.seconds <= even.itl.seconds


def test_a_model_with_too_few_parts_makes_no_candidate() -> None:
    few = replace(B1, heads=4)
    group = tuple((0, place) for place in range(8))
    assert candidates(few, bed(1, 8), Arrangement(((group,),))) == []
    stages = tuple(((0, place),) for place in range(4))
    assert candidates(replace(B1, layers=3), bed(1, 4), Arrangement((stages,))) == []


def test_what_passes_the_memory_is_streamed_beside_a_window_of_layers() -> None:
    facts = bed(1, 1)
    alone = Arrangement(((((0, 0),),),))
    (resident,), (streamed,) = (
        candidates(B13, facts, alone),
        candidates(B13, facts, alone, streams=True),
    )
    assert not resident.fits
    assert streamed.fits
    assert streamed.name == "one rank, streamed"
    assert not streamed.is_run
    (rank,) = streamed.ranks
    share = streamed.layout.share(0)
    window = STREAM_WINDOW * layer_bytes(B13, share, "fp16")
    assert rank.need.weights + rank.need.streamed == weight_bytes(B13, share, "fp16") + window
    assert streamed.work.seconds > resident.work.seconds


def test_an_objective_is_about_its_own_price_and_fewer_devices_decide_between_equals() -> None:
    (found,) = candidates(ARTICLE, bed(1, 1), Arrangement(((((0, 0),),),)))
    assert found.price("ttft") == found.ttft
    assert found.price("itl") == found.itl
    assert found.price("throughput") == found.work
    assert found.score("ttft") == (found.ttft.seconds, 1)
    assert found.tokens_per_s == pytest.approx(4 * 128 / found.work.seconds)


@given(
    hosts=st.lists(
        st.tuples(st.integers(1, 4), st.sampled_from(["cpu", "pi5", "rtx3060", "rtx2080ti"])),
        min_size=1,
        max_size=3,
    ),
    concurrency=st.integers(1, 40),
    layers=st.integers(3, 40),
)
@settings(deadline=None, max_examples=25)
def test_the_shares_of_every_candidate_are_the_model_once_and_its_requests_all(
    hosts: list[tuple[int, str]], concurrency: int, layers: int
) -> None:
    """So that ``plan/shares.py`` and the engine can divide it: every layer is in one stage, whose
    ranks together have every head, column and row of the vocabulary once."""
    facts, shape = mixed(*hosts), replace(B1, layers=layers)
    pricer = Pricer(shape, "fp16", facts, replace(WORKLOAD, concurrency=concurrency))
    for arrangement in arrangements(facts, requests=concurrency):
        for found in pricer.candidates(arrangement):
            assert sum(each.sequences for each in found.replicas) >= concurrency
            for replica in found.replicas:
                at = 0
                for stage in replica.layout.stages:
                    interval = stage.shares[0].layers
                    assert interval.begin == at < interval.end
                    at = interval.end
                    for part, total in (("heads", 32), ("ffn", 5632), ("vocab", 32_000)):
                        pieces = [getattr(share, part) for share in stage.shares]
                        ends = [0, *(piece.end for piece in pieces)]
                        assert [piece.begin for piece in pieces] == ends[:-1]
                        assert ends[-1] == total
                assert at == layers
