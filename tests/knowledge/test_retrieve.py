"""Retrievers: the best rows, best first, and never one the caller may not see."""

from __future__ import annotations

from tests.knowledge.small_base import HASHES, ONLY_ONE, Text, base_of

from banyan.core.context import Context
from banyan.knowledge.prepare import prepare
from banyan.knowledge.retrieve import embed_question, retrieve

TEXTS = [
    Text(title="A", body="The banyan grows aerial roots."),
    Text(title="B", body="The oak grows acorns."),
    Text(title="C", body="Banyan roots are secret roots.", label="secret"),
    Text(title="丁", body="榕树有气生根。"),
]
BASE = base_of(TEXTS)


def test_an_english_question_asks_keywords_and_both_embedders() -> None:
    query = embed_question(prepare("Which roots?"), HASHES, Context())
    hits = retrieve(BASE, query, None, Context())
    assert [found.retriever for found in hits] == ["bm25", "multilingual", "minilm"]
    assert query.leading == "minilm"


def test_a_chinese_question_does_without_the_english_embedder() -> None:
    query = embed_question(prepare("榕树的根"), HASHES, Context())
    hits = retrieve(BASE, query, None, Context())
    assert [found.retriever for found in hits] == ["bm25", "multilingual"]
    assert query.leading == "multilingual"


def test_without_an_english_embedder_the_multilingual_one_leads() -> None:
    assert embed_question(prepare("roots"), ONLY_ONE, Context()).leading == "multilingual"


def test_rows_come_best_first_and_no_more_than_wanted() -> None:
    query = embed_question(prepare("banyan roots"), HASHES, Context())
    for found in retrieve(BASE, query, None, Context(), k=2):
        assert len(found.rows) <= 2
        assert list(found.scores) == sorted(found.scores, reverse=True)


def test_hidden_rows_are_not_found() -> None:
    query = embed_question(prepare("secret roots"), HASHES, Context())
    for found in retrieve(BASE, query, frozenset({"public"}), Context()):
        assert 2 not in found.rows
