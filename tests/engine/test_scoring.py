"""Scores of texts after prefixes, against the reference."""

from __future__ import annotations

import pytest
from tests.engine.toy import wait_until
from tests.engine.watched import Bench, text_of

from banyan.core.context import Context
from banyan.core.types import Sampling
from banyan.engine import reference


def test_scores_are_those_of_the_reference_for_any_mix_of_prefixes(bench: Bench) -> None:
    engine = bench.engine()
    pairs = [
        ("one prefix of several pages, shared", " and text"),
        ("another", " text"),
        ("one prefix of several pages, shared", " or another text, longer than the first"),
        ("", "no prefix at all"),
        ("a prefix", ""),
        ("one prefix of several pages, shared", "!"),
    ]
    for (prefix, text), entries in zip(pairs, engine.score(pairs, Context()), strict=True):
        ids = bench.ids(prefix) + bench.ids(text)
        expected = reference.logprobs(bench.reference, ids) if text else []
        found = [entry.logprob for entry in entries]
        if not prefix:
            assert found.pop(0) is None
        assert found == pytest.approx(expected[len(expected) - len(found) :], abs=1e-4)
        assert len(entries) == len(bench.ids(text))


def test_a_prefix_that_is_shared_in_int8_scores_as_one_that_is_not(bench: Bench) -> None:
    prefix = "one prefix of several pages"
    pairs = [(prefix, f" {number} texts") for number in range(4)]
    engine = bench.engine(kv_precision="int8")
    together = engine.score(pairs, Context())
    for pair, entries in zip(pairs, together, strict=True):
        (alone,) = engine.score([pair], Context())
        found = [entry.logprob for entry in entries]
        assert found == pytest.approx([entry.logprob for entry in alone], abs=1e-4)


def test_a_shared_prefix_is_computed_once(bench: Bench) -> None:
    engine = bench.engine(max_sequences=4)
    prefix = "p" * 41
    engine.score([(prefix, f"{number:03}") for number in range(20)], Context())
    assert bench.model.tokens <= 40 + 20 * (1 + 3)
    wait_until(lambda: engine.stats.pages_free == engine.stats.pages_total)


def test_scoring_rides_in_the_batch_beside_a_chat(bench: Bench) -> None:
    engine = bench.engine()
    chat = engine.complete("Hello there", Sampling(temperature=0, max_tokens=60), Context())
    start = next(chat)
    engine.score([("a prefix", " a text")] * 8, Context())
    assert len(bench.model.sequences_in_steps) < 60
    assert start.text + text_of(chat) == bench.greedy_text("Hello there", 60)
    assert max(bench.model.sequences_in_steps) > 1
