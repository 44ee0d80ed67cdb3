"""The sampler against exact probabilities (chi-square) and against what each option promises."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from banyan.core.errors import EngineFailed, InputError
from banyan.core.types import Sampling
from banyan.engine.sampler import check, filtered, likelihoods, sample, uniform

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])
CHI_SQUARE_99_9 = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 5: 20.52}


def draw(sampling: Sampling, seed: int, logits: torch.Tensor = LOGITS) -> int:
    return sample(logits, sampling, prompt=[0], answer=[], seed=seed)


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(), LOGITS.softmax(0)),
        (Sampling(temperature=0.5), (LOGITS / 0.5).softmax(0)),
        (Sampling(temperature=2.0, top_k=3), (LOGITS[:3] / 2).softmax(0)),
        (Sampling(top_p=0.85), LOGITS[:3].softmax(0)),
        (Sampling(min_p=0.2), LOGITS[:3].softmax(0)),
        (Sampling(top_k=4, top_p=0.9, min_p=0.01), LOGITS[:3].softmax(0)),
    ],
)
def test_tokens_are_drawn_with_the_exact_probabilities(
    sampling: Sampling, expected: torch.Tensor
) -> None:
    draws = 4000
    counts = Counter(draw(sampling, seed) for seed in range(draws))
    assert set(counts) <= set(range(len(expected)))
    statistic = sum(
        (counts[token] - draws * p) ** 2 / (draws * p) for token, p in enumerate(expected.tolist())
    )
    assert statistic < CHI_SQUARE_99_9[len(expected) - 1]


def test_random_numbers_are_uniform_and_depend_on_seed_and_position_alone() -> None:
    numbers = [uniform(seed, position) for seed in range(64) for position in range(64)]
    assert all(0 <= number < 1 for number in numbers)
    assert len(set(numbers)) == len(numbers)
    counts = Counter(int(number * 4) for number in numbers)
    assert sum((counts[n] - 1024) ** 2 / 1024 for n in range(4)) < CHI_SQUARE_99_9[3]
    assert uniform(-1, 7) == uniform(2**64 - 1, 7) != uniform(1, 7)


@given(
    values=st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=40),
    temperature=st.floats(1e-6, 5),
    top_k=st.integers(0, 50),
    top_p=st.floats(0.01, 1),
    min_p=st.floats(0, 1),
)
def test_filters_keep_the_likeliest_token_and_only_what_they_allow(
    values: list[float], temperature: float, top_k: int, top_p: float, min_p: float
) -> None:
    logits = torch.tensor(values)
    options = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    kept, ids = filtered(logits, options)
    tokens = kept.nonzero().flatten() if ids is None else ids
    exact = ((logits.double() - logits.max()) / temperature).softmax(0)
    assert exact[tokens].max() >= exact.max() - 1e-6
    if top_k:
        assert len(tokens) <= top_k
    assert (exact[tokens] >= min_p * exact.max() - 1e-6).all()
    least = exact[tokens].min()
    better = exact[exact > least + 1e-6]
    if not top_k:
        assert better.sum() < top_p + 1e-5


def test_a_wide_nucleus_is_found_beyond_the_first_candidates() -> None:
    flat = torch.zeros(5000)
    kept, ids = filtered(flat, Sampling(top_p=0.5))
    assert ids is not None
    assert len(ids) == len(kept) == pytest.approx(2500, abs=2)


def test_temperature_zero_is_greedy_and_a_tiny_one_is_as_good() -> None:
    assert draw(Sampling(temperature=0), 1) == 0
    assert draw(Sampling(temperature=1e-30), 1) == 0


def test_the_repetition_penalty_weakens_tokens_of_prompt_and_answer_both_ways() -> None:
    logits = torch.tensor([2.0, 1.5, -0.5, -0.4])
    option = Sampling(temperature=0, repetition_penalty=2.0)
    assert sample(logits, option, prompt=[0], answer=[], seed=0) == 1
    assert sample(logits, option, prompt=[0], answer=[1], seed=0) == 0
    negative = torch.tensor([-0.4, -0.5])
    assert sample(negative, option, prompt=[0], answer=[], seed=0) == 1


def test_presence_and_frequency_penalties_count_the_answer_only() -> None:
    logits = torch.tensor([2.0, 1.2, 0.0])
    presence = Sampling(temperature=0, presence_penalty=1.0)
    frequency = Sampling(temperature=0, frequency_penalty=0.5)
    assert sample(logits, presence, prompt=[0, 0], answer=[], seed=0) == 0
    assert sample(logits, presence, prompt=[], answer=[0], seed=0) == 1
    assert sample(logits, frequency, prompt=[], answer=[0], seed=0) == 0
    assert sample(logits, frequency, prompt=[], answer=[0, 0], seed=0) == 1


def test_the_logits_are_left_as_they_were() -> None:
    before = LOGITS.clone()
    options = Sampling(repetition_penalty=1.5, presence_penalty=1, frequency_penalty=1, top_k=2)
    sample(LOGITS, options, prompt=[0, 1], answer=[2], seed=0)
    assert torch.equal(before, LOGITS)


def test_likelihoods_are_the_log_softmax_with_the_best_beside_it() -> None:
    (first, second) = likelihoods(torch.stack([LOGITS, -LOGITS]), [1, 0], 2)
    expected = LOGITS.log_softmax(0).tolist()
    assert first.logprob == pytest.approx(expected[1])
    assert [token for token, _ in first.top] == [0, 1]
    assert [token for token, _ in second.top] == [5, 4]
    assert math.exp(first.top[0][1]) == pytest.approx(float(LOGITS.softmax(0)[0]))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_numbers_are_an_engine_failure(temperature: float) -> None:
    with pytest.raises(EngineFailed):
        draw(Sampling(temperature=temperature), 0, torch.full((4,), math.nan))


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"min_p": 2.0},
        {"repetition_penalty": 0.0},
        {"presence_penalty": 3.0},
        {"frequency_penalty": -3.0},
        {"logprobs": 21},
        {"max_tokens": -1},
        {"stop": ("",)},
        {"stop": ("x",) * 17},
    ],
)
def test_an_option_out_of_range_is_named(wrong: dict[str, object]) -> None:
    name = next(iter(wrong))
    with pytest.raises(InputError, match=name.replace("_", ".")):
        check(Sampling(**wrong))


def test_the_defaults_are_in_range() -> None:
    check(Sampling())
