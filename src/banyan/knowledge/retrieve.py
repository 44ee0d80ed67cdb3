"""Retrieve: each retriever looks through one base and returns its best rows.

Not here: how their scores are put together (``fuse``). A retriever never sees a row whose label is
not allowed, because ``Snapshot`` filters before it scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from banyan.core.context import Context
from banyan.knowledge.embed import Embedders
from banyan.knowledge.prepare import Question
from banyan.knowledge.snapshot import Allowed, Snapshot

if TYPE_CHECKING:
    from banyan.knowledge.snapshot import Rows, Scores

CANDIDATES = 1000
"""Rows a retriever hands to fusion; what ranks below counts as no match."""

EmbedderKey = Literal["multilingual", "minilm"]
"""The names of the embedders in ``Passage.scores``: the one of every chunk, the English one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryVector:
    """The question as one embedder sees it; ``embedder`` is that embedder's versioned name."""

    embedder: str
    vector: Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A prepared question with its vectors."""

    question: Question
    vectors: Mapping[EmbedderKey, QueryVector] = field(default_factory=dict)

    @property
    def leading(self) -> EmbedderKey:
        """The embedder that knows the question's own language best."""
        return "minilm" if "minilm" in self.vectors else "multilingual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """The best rows of one retriever, best first: int64 [n] and float32 [n]."""

    retriever: str
    rows: Rows
    scores: Scores


class Retriever(Protocol):
    """One way of searching a base."""

    @property
    def name(self) -> str:
        """The key of its scores in ``Passage.scores``."""
        ...

    def search(self, query: Query, k: int, allowed: Allowed) -> Hits:
        """The best ``k`` rows among those whose label is ``allowed``, best first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeywordRetriever:
    """BM25 over the question's content terms."""

    snapshot: Snapshot
    name: str = "bm25"

    def search(self, query: Query, k: int, allowed: Allowed) -> Hits:
        rows, scores = self.snapshot.bm25(query.question.terms, allowed)
        return _best(self.name, rows, scores, k)


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorRetriever:
    """Cosine of the question and the whole passage, by one embedder."""

    snapshot: Snapshot
    name: EmbedderKey

    def search(self, query: Query, k: int, allowed: Allowed) -> Hits:
        by = query.vectors[self.name]
        rows, scores = self.snapshot.cosine(by.embedder, by.vector, allowed)
        return _best(self.name, rows, scores, k)


def embed_question(question: Question, embedders: Embedders, context: Context) -> Query:
    """Embed the question by every embedder of its language."""
    vectors: dict[EmbedderKey, QueryVector] = {}
    for embedder in embedders.of(question.language):
        context.check()
        key: EmbedderKey = "multilingual" if embedder is embedders.multilingual else "minilm"
        matrix = embedder.embed([question.text], context)
        vectors[key] = QueryVector(embedder=embedder.name, vector=matrix[0])
    return Query(question=question, vectors=vectors)


def retrievers_for(snapshot: Snapshot, query: Query) -> list[Retriever]:
    """Keywords, and the vectors of every embedder the question was embedded by."""
    found: list[Retriever] = [KeywordRetriever(snapshot=snapshot)]
    found.extend(VectorRetriever(snapshot=snapshot, name=key) for key in query.vectors)
    return found


def retrieve(
    snapshot: Snapshot, query: Query, allowed: Allowed, context: Context, *, k: int = CANDIDATES
) -> list[Hits]:
    """Ask every retriever for its best ``k`` rows."""
    found = []
    for retriever in retrievers_for(snapshot, query):
        context.check()
        found.append(retriever.search(query, k, allowed))
    return found


def _best(name: str, rows: Rows, scores: Scores, k: int) -> Hits:
    """Cut to ``k`` before sorting; equal scores keep the order of their rows."""
    if len(rows) > k:
        kept = np.argpartition(-scores, k - 1)[:k]
        rows, scores = rows[kept], scores[kept]
    order = np.lexsort((rows, -scores))
    return Hits(retriever=name, rows=rows[order], scores=scores[order])
