"""Logits in parts of the vocabulary: what is drawn from them is drawn from the whole row."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from banyan.core.errors import EngineFailed
from banyan.core.layout import Interval
from banyan.core.types import Sampling
from banyan.engine.batch import Batch
from banyan.engine.sampler import likelihoods, sample
from banyan.engine.vocabulary import CANDIDATES, empty_offer, merged, offer
from banyan.plan.shares import divide

VOCAB = 700


def batch_of(whole: list[bool] | None, rows: int = 0) -> Batch:
    return Batch(
        id=0,
        tokens=torch.zeros(0, dtype=torch.int64),
        positions=torch.zeros(0, dtype=torch.int64),
        spans=(),
        logit_rows=torch.arange(rows if whole is None else len(whole)),
        whole_rows=None if whole is None else torch.tensor(whole, dtype=torch.bool),
    )


def through_ranks(logits: Tensor, batch: Batch, parts: tuple[Interval, ...]) -> Tensor:
    """What rank 0 makes of what ranks with these parts of the vocabulary send."""
    offers = []
    for part in parts:
        sent = offer(logits[:, part.begin : part.end], batch, part)
        arrived = empty_offer(batch, part)
        for there, here in zip(arrived.tensors, sent.tensors, strict=True):
            assert (here.shape, here.dtype) == (there.shape, there.dtype)
            assert here.is_contiguous()
            there.copy_(here)
        offers.append(arrived)
    return merged(offers, batch)


def random_logits(rows: int, seed: int, spread: float = 4.0, vocab: int = VOCAB) -> Tensor:
    return torch.randn(rows, vocab, generator=torch.manual_seed(seed)) * spread


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, tuple[Interval, ...]]:
    """Rows and parts; some rows are flat, or alike but for one part."""
    vocab = draw(st.integers(3, VOCAB))
    weights = draw(st.lists(st.floats(0.2, 5.0), min_size=1, max_size=min(5, vocab)))
    parts = divide(vocab, weights)
    spread = draw(st.sampled_from([0.0, 0.01, 1.0, 6.0]))
    logits = random_logits(draw(st.integers(1, 4)), draw(st.integers(0, 999)), spread, vocab)
    if draw(st.booleans()):
        logits[:, parts[0].begin : parts[0].end] += draw(st.floats(-30.0, 30.0))
    return logits, parts


@given(case=cases())
@settings(max_examples=150, deadline=None)
def test_the_likeliest_tokens_and_their_log_probabilities_are_those_of_the_whole_row(case):
    logits, parts = case
    found = through_ranks(logits, batch_of([False] * len(logits)), parts)
    for row, expected in zip(found, logits, strict=True):
        greedy = int(row.argmax())
        assert expected[greedy] == expected.max()
        top = min(CANDIDATES, len(row))
        assert torch.allclose(row.topk(top).values, expected.topk(top).values, atol=1e-5)
        (ours,) = likelihoods(row[None], [greedy], min(20, top))
        (theirs,) = likelihoods(expected[None], [greedy], min(20, top))
        assert ours.logprob == pytest.approx(theirs.logprob, abs=2e-5)
        assert [value for _, value in ours.top] == pytest.approx(
            [value for _, value in theirs.top], abs=2e-5
        )


@given(
    seed=st.integers(0, 2**31), top_k=st.integers(1, CANDIDATES), min_p=st.sampled_from([0, 0.1])
)
@settings(max_examples=60, deadline=None)
def test_a_draw_among_the_candidates_is_the_draw_from_the_whole_row(seed, top_k, min_p):
    logits = random_logits(1, seed % 1000)
    row = through_ranks(logits, batch_of([False]), divide(VOCAB, [1.0, 2.0, 1.0]))[0]
    sampling = Sampling(temperature=1.5, top_k=top_k, top_p=0.9, min_p=min_p)
    drawn = [sample(each, sampling, prompt=[1], answer=[], seed=seed) for each in (row, logits[0])]
    assert drawn[0] == drawn[1]


def test_rows_that_are_needed_whole_come_bit_for_bit_beside_others():
    logits = random_logits(5, seed=1)
    parts = divide(VOCAB, [3.0, 1.0, 1.0])
    whole = [True, False, True, False, True]
    found = through_ranks(logits, batch_of(whole), parts)
    assert torch.equal(found[whole], logits[whole])
    assert not torch.equal(found[1], logits[1])
    assert torch.equal(through_ranks(logits, batch_of(None, rows=5), parts), logits)
    assert through_ranks(logits[:0], batch_of([]), parts).shape == (0, VOCAB)


def test_candidates_are_a_small_part_of_what_whole_rows_would_take():
    part, logits = Interval(0, 24_576), torch.randn(4, 24_576, generator=torch.manual_seed(1))
    few, all_of_it = (
        sum(tensor.nbytes for tensor in offer(logits, batch_of([whole] * 4), part).tensors)
        for whole in (False, True)
    )
    assert few == 4 * (CANDIDATES * 8 + 4)
    assert all_of_it == 4 * 24_576 * 4


@pytest.mark.parametrize("place", [0, 699])
def test_logits_that_are_no_numbers_are_noticed_in_any_part(place):
    logits = random_logits(1, seed=2)
    logits[0, place] = float("nan")
    row = through_ranks(logits, batch_of([False]), divide(VOCAB, [1.0, 1.0]))[0]
    for sampling in (Sampling(temperature=0), Sampling(temperature=1.0, top_k=5)):
        with pytest.raises(EngineFailed, match="not numbers"):
            sample(row, sampling, prompt=[1], answer=[], seed=0)


def test_tokens_that_cannot_come_stay_so():
    logits = torch.full((1, VOCAB), float("-inf"))
    logits[0, 600] = 1.0
    row = through_ranks(logits, batch_of([False]), divide(VOCAB, [1.0, 1.0]))[0]
    assert int(row.argmax()) == 600
    assert likelihoods(row[None], [600], 1)[0].logprob == pytest.approx(0.0)
