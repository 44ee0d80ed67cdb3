"""Fusion: one ranking by scores, whatever languages the base holds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.knowledge.small_base import HASHES, Text, base_of

from banyan.core.context import Context, Principal
from banyan.knowledge.fuse import Candidate, Method, fuse, fusion_weights
from banyan.knowledge.memory import MemorySnapshot
from banyan.knowledge.prepare import prepare
from banyan.knowledge.retrieve import embed_question, retrieve
from banyan.knowledge.snapshot import Allowed

WORDS = ["banyan", "oak", "roots", "acorns", "grows", "leaf", "榕树", "气根"]


def fused(
    base: MemorySnapshot, question: str, *, allowed: Allowed = None, method: Method = "scores"
) -> list[Candidate]:
    context = Context(principal=Principal(labels=allowed))
    query = embed_question(prepare(question), HASHES, context)
    hits = retrieve(base, query, allowed, context)
    return fuse(base, query, hits, context, method=method)


def test_the_score_is_the_recipe_of_its_parts() -> None:
    base = base_of([Text(title="A", body="Banyan roots."), Text(title="B", body="Oak roots.")])
    query = embed_question(prepare("banyan roots"), HASHES, Context())
    by = fusion_weights(query, across=False)
    best = max(c.passage.scores["bm25"] for c in fused(base, "banyan roots"))
    for candidate in fused(base, "banyan roots"):
        parts = candidate.passage.scores
        expected = parts["bm25"] / best + by.cosine * (parts["minilm"] + parts["sentence"])
        assert candidate.passage.score == pytest.approx(expected, abs=1e-5)
        assert parts["fused"] == candidate.passage.score


def test_each_passage_says_its_rank_in_every_retriever() -> None:
    base = base_of([Text(title="A", body="Banyan roots."), Text(title="B", body="Oak leaf.")])
    first, second = fused(base, "banyan roots")
    assert first.passage.scores["bm25_rank"] == 1
    assert first.passage.scores["minilm_rank"] == 1
    assert second.passage.scores["bm25_rank"] == 0  # not found by keywords at all


def test_a_passage_in_the_other_language_is_led_by_the_multilingual_embedder() -> None:
    base = base_of([Text(title="甲", body="banyan 榕树有气生根。"), Text(title="B", body="Oak.")])
    across = next(c for c in fused(base, "banyan roots") if c.passage.title == "甲")
    assert across.across
    assert across.embedder == "multilingual"


def test_a_base_of_the_other_language_alone_is_still_searched() -> None:
    base = base_of([Text(title="甲", body="榕树有气生根。"), Text(title="乙", body="橡树结橡子。")])
    assert len(fused(base, "banyan roots")) == 2


def test_nothing_is_found_in_an_empty_base_or_behind_labels() -> None:
    assert fused(base_of([]), "banyan") == []
    hidden = base_of([Text(title="A", body="Banyan.", label="secret")])
    assert fused(hidden, "banyan", allowed=frozenset({"public"})) == []


def test_reciprocal_ranks_can_be_chosen_instead() -> None:
    base = base_of([Text(title="A", body="Banyan roots."), Text(title="B", body="Oak leaf.")])
    first = fused(base, "banyan roots", method="rrf")[0]
    assert first.passage.title == "A"
    assert first.passage.score == pytest.approx(3 / 61)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6), st.booleans()),
        min_size=1,
        max_size=12,
    ),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
)
def test_hidden_passages_change_nothing_visible(
    bodies: list[tuple[list[str], bool]], question: list[str]
) -> None:
    texts = [
        Text(title=str(number), body=" ".join(words), label="secret" if hidden else "public")
        for number, (words, hidden) in enumerate(bodies)
    ]
    public = [text for text in texts if text.label == "public"]
    seen = fused(base_of(texts), " ".join(question), allowed=frozenset({"public"}))
    alone = fused(base_of(public), " ".join(question))
    assert [c.passage.title for c in seen] == [c.passage.title for c in alone]
    assert [c.passage.scores for c in seen] == [c.passage.scores for c in alone]
