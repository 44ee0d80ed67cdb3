"""Reranking: by query likelihood, English only, only where it is close, never fatal."""

from __future__ import annotations

from collections.abc import Sequence

from tests.knowledge.small_base import HASHES, Text, base_of

from banyan.core.context import Context
from banyan.core.errors import EngineFailed
from banyan.core.fakes import WordOverlapScorer
from banyan.core.types import TokenLogprob
from banyan.knowledge.fuse import Candidate, fuse
from banyan.knowledge.prepare import prepare
from banyan.knowledge.rerank import rerank
from banyan.knowledge.retrieve import Query, embed_question, retrieve

CLOSE = [
    Text(title="A", body="Old walls of Rome stand."),
    Text(title="B", body="Old walls of Troy stand."),
]


def found(texts: Sequence[Text], question: str) -> tuple[Query, list[Candidate]]:
    base = base_of(texts)
    query = embed_question(prepare(question), HASHES, Context())
    return query, fuse(base, query, retrieve(base, query, None, Context()), Context())


class Preferring:
    """A scorer that finds the question likely after passages with a word in them."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.pairs: list[tuple[str, str]] = []

    def score(
        self, pairs: Sequence[tuple[str, str]], context: Context
    ) -> list[tuple[TokenLogprob, ...]]:
        self.pairs.extend(pairs)
        return [
            (TokenLogprob(text="?", logprob=-1.0 if self.word in prefix else -4.0),)
            for prefix, _ in pairs
        ]


class Broken:
    def score(
        self, pairs: Sequence[tuple[str, str]], context: Context
    ) -> list[tuple[TokenLogprob, ...]]:
        raise EngineFailed("The engine has ended.")


def skipped(context: Context) -> object:
    return context.trace.steps[-1].detail.get("skipped")


def test_close_results_follow_the_likelihood() -> None:
    query, candidates = found(CLOSE, "Which old walls stand?")
    for title, word in (("A", "Rome"), ("B", "Troy")):
        context = Context()
        first = rerank(query, candidates, Preferring(word), context)[0].passage
        assert first.title == title
        assert first.scores["rerank"] == -1.0
        assert skipped(context) is None


def test_the_scorer_reads_the_passage_and_then_the_question() -> None:
    query, candidates = found(CLOSE, "Which old walls stand?")
    scorer = Preferring("Rome")
    rerank(query, candidates, scorer, Context())
    prefix, text = scorer.pairs[0]
    assert prefix.startswith("Passage: ")
    assert prefix.endswith("\nQuestion:")
    assert text == " Which old walls stand?"


def test_a_clear_winner_is_not_reranked() -> None:
    query, candidates = found(
        [Text(title="A", body="Banyan roots."), Text(title="B", body="Oak leaf.")], "banyan roots"
    )
    context = Context()
    assert rerank(query, candidates, WordOverlapScorer(), context) == candidates
    assert skipped(context) == "the first is well ahead"


def test_chinese_is_not_reranked() -> None:
    texts = [Text(title="甲", body="榕树有根。"), Text(title="乙", body="榕树有叶。")]
    query, candidates = found(texts, "榕树")
    context = Context()
    assert rerank(query, candidates, WordOverlapScorer(), context) == candidates
    assert skipped(context) == "not English"


def test_a_scorer_that_fails_leaves_the_order_and_a_trace() -> None:
    query, candidates = found(CLOSE, "Which old walls stand?")
    context = Context()
    assert rerank(query, candidates, Broken(), context) == candidates
    assert skipped(context) == "the scorer failed: The engine has ended."


def test_the_order_agrees_with_the_scores() -> None:
    texts = [*CLOSE, *(Text(title=str(n), body=f"Old walls {n} stand.") for n in range(4))]
    query, candidates = found(texts, "Which old walls stand?")
    scores = [c.passage.score for c in rerank(query, candidates, Preferring("Troy"), Context())]
    assert scores == sorted(scores, reverse=True)
