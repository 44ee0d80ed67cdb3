"""Fuse: one ranking out of what the retrievers found.

By scores (the default): ``bm25 / best bm25 of this question + w * (cosine of the whole passage +
cosine of its best sentence)``. The weights follow the languages of the question and the passage
(``weights.py``), so that one base may hold both: a passage in the question's own language is led
by its best embedder, one in the other language by the multilingual one. Reciprocal rank fusion
(Cormack et al. 2009) is there as an option and as a reference; it was measured to lose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from banyan.core.context import Context
from banyan.core.types import Passage
from banyan.knowledge import weights
from banyan.knowledge.bm25 import K1
from banyan.knowledge.retrieve import EmbedderKey, Hits, Query
from banyan.knowledge.snapshot import SentenceHit, Snapshot
from banyan.knowledge.weights import FusionWeights

if TYPE_CHECKING:
    from banyan.knowledge.snapshot import Rows, Scores

Method = Literal["scores", "rrf"]

SENTENCE_DEPTH = 60
"""Passages whose sentences are compared with the question."""

ACROSS_DEPTH = 20
"""Passages that come along by the multilingual encoder alone, whatever else they score."""

RRF_CONSTANT = 60
"""The k of 1 / (k + rank), as its authors chose it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A passage in the running. ``passage.score`` is its fused (later its reranked) score.

    ``sentences`` carry the cosines of ``embedder``, the one that leads for this passage.
    """

    row: int
    passage: Passage
    embedder: EmbedderKey
    across: bool
    sentences: tuple[SentenceHit, ...]

    @property
    def best_cosine(self) -> float:
        """The cosine of the best sentence, 0 where there is none."""
        return max((hit.cosine for hit in self.sentences), default=0.0)


def fuse(
    snapshot: Snapshot,
    query: Query,
    hits: Sequence[Hits],
    context: Context,
    *,
    k: int = 10,
    method: Method = "scores",
) -> list[Candidate]:
    """The best ``k`` passages over all retrievers, best first, with the parts of their score.

    ``hits`` are those of the caller of ``context``, by the labels that it may see.
    """
    idf = snapshot.idf(query.question.terms, context.principal.labels)
    table = _Table.of(hits, attainable=(K1 + 1) * float(idf.sum()))
    if not len(table.rows):
        return []
    chosen = table.rrf() if method == "rrf" else table.first_pass(query)
    context.check()
    candidates = _candidates(snapshot, query, table.rows[chosen])
    context.check()
    scores = (
        table.rrf_scores()[chosen] if method == "rrf" else table.score(query, chosen, candidates)
    )
    best = np.argsort(-scores, kind="stable")[:k]
    return [_explained(candidates[n], table, int(chosen[n]), float(scores[n])) for n in best]


def fusion_weights(query: Query, *, across: bool) -> FusionWeights:
    """The weights for a passage in the question's language, or ``across`` languages."""
    if query.leading == "minilm":
        return weights.ACROSS_MINILM if across else weights.SAME_MINILM
    if across:
        return weights.ACROSS_MULTILINGUAL
    english = query.question.language == "en"
    return weights.SAME_MULTILINGUAL_EN if english else weights.SAME_MULTILINGUAL_ZH


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """The union of the hits: per retriever a column of scores (0: not found) and of ranks.

    ``attainable`` is the BM25 that no passage can pass: that of every term without end.
    """

    rows: Rows
    scores: dict[str, Scores]
    ranks: dict[str, Rows]
    attainable: float

    @classmethod
    def of(cls, hits: Sequence[Hits], *, attainable: float) -> _Table:
        rows = np.unique(np.concatenate([found.rows for found in hits]))
        scores, ranks = {}, {}
        for found in hits:
            place = np.searchsorted(rows, found.rows)
            column = np.zeros(len(rows), np.float32)
            column[place] = found.scores
            rank = np.zeros(len(rows), np.int64)
            rank[place] = np.arange(1, len(found.rows) + 1)
            scores[found.retriever], ranks[found.retriever] = column, rank
        return cls(rows=rows, scores=scores, ranks=ranks, attainable=attainable)

    @property
    def keywords(self) -> Scores:
        """BM25 as a share of the best BM25 of this question."""
        column = self.column("bm25")
        best = float(column.max(initial=0.0))
        return column / best if best > 0 else column

    def column(self, retriever: str) -> Scores:
        """The scores of a retriever; zeros of one that was not asked."""
        none = np.zeros(len(self.rows), np.float32)
        return self.scores.get(retriever, none)

    def offset(self, by: FusionWeights) -> float:
        """What weighs up the keywords, which reach passages of the question's language alone.

        The better they match there, the less the other language is listened to.
        """
        best = float(self.column("bm25").max(initial=0.0))
        complete = best / self.attainable if self.attainable > 0 else 0.0
        return by.offset - by.completeness * complete if best > 0 else 0.0

    def first_pass(self, query: Query) -> Rows:
        """Indices worth a look at their sentences: the whole passage's cosine stands in twice."""
        same, across = (fusion_weights(query, across=value) for value in (False, True))
        leading, multilingual = self.column(query.leading), self.column("multilingual")
        own = same.bm25 * self.keywords + 2 * same.cosine * leading
        other = across.bm25 * self.keywords + 2 * across.cosine * multilingual
        other = other + self.offset(across)
        guess = np.where(leading != 0, own, np.maximum(other, same.bm25 * self.keywords))
        return np.union1d(_top(guess, SENTENCE_DEPTH), _top(multilingual, ACROSS_DEPTH))

    def score(self, query: Query, chosen: Rows, candidates: Sequence[Candidate]) -> Scores:
        """The fused score of each candidate, whose index in the table is in ``chosen``."""
        keywords = self.keywords[chosen]
        scores = np.zeros(len(candidates), np.float32)
        for n, (index, candidate) in enumerate(zip(chosen, candidates, strict=True)):
            by = fusion_weights(query, across=candidate.across)
            cosine = self.column(candidate.embedder)[index] + candidate.best_cosine
            scores[n] = by.bm25 * keywords[n] + by.cosine * cosine + self.offset(by)
        return scores

    def rrf(self) -> Rows:
        return _top(self.rrf_scores(), SENTENCE_DEPTH)

    def rrf_scores(self) -> Scores:
        total = np.zeros(len(self.rows), np.float32)
        for rank in self.ranks.values():
            total += np.where(rank > 0, 1.0 / (RRF_CONSTANT + rank), 0.0).astype(np.float32)
        return total


def _candidates(snapshot: Snapshot, query: Query, rows: Rows) -> list[Candidate]:
    """The passages of ``rows`` with their sentences, each by the embedder that leads for it."""
    passages = snapshot.passages(rows)
    across = np.array([p.language != query.question.language for p in passages], dtype=bool)
    sentences: dict[int, list[SentenceHit]] = {}
    for chosen, key in ((~across, query.leading), (across, "multilingual")):
        by = query.vectors[key]
        found = snapshot.sentences(by.embedder, by.vector, rows[chosen])
        sentences.update(zip(rows[chosen].tolist(), found, strict=True))
    return [
        Candidate(
            row=row,
            passage=passage,
            embedder="multilingual" if other else query.leading,
            across=bool(other),
            sentences=tuple(sentences[row]),
        )
        for row, passage, other in zip(rows.tolist(), passages, across, strict=True)
    ]


def _explained(candidate: Candidate, table: _Table, index: int, score: float) -> Candidate:
    """The candidate with its score and every part of it, for "why this passage?"."""
    parts = {name: float(column[index]) for name, column in table.scores.items()}
    parts.update({f"{name}_rank": float(rank[index]) for name, rank in table.ranks.items()})
    parts["sentence"] = candidate.best_cosine
    parts["fused"] = score
    return replace(candidate, passage=replace(candidate.passage, score=score, scores=parts))


def _top(scores: Scores, k: int) -> Rows:
    """Indices of the best ``k``, ascending."""
    if len(scores) <= k:
        return np.arange(len(scores))
    return np.sort(np.argpartition(-scores, k - 1)[:k])
