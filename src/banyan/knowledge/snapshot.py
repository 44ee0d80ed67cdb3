"""Snapshot: what retrieval and answering may ask of one knowledge base at one moment.

The embedded store and the brute-force reference both implement it and pass the same contract
suite. Rows are integers that name a chunk within this snapshot only. Filtering happens here,
before ranking: a row whose label is not allowed is never scored, counted or returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from banyan.core.types import Passage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]
    Scores = NDArray[np.float32]

Allowed = frozenset[str] | None
"""The labels a caller may see; None is every label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceHit:
    """One sentence of a chunk: character offsets into the document's text, and its cosine."""

    row: int
    start: int
    end: int
    text: str
    cosine: float


class Snapshot(Protocol):
    """A consistent, read-only view of one base."""

    @property
    def size(self) -> int:
        """Chunks in the base, whatever their label."""
        ...

    def idf(self, terms: Sequence[str], allowed: Allowed) -> Scores:
        """BM25 idf of each term among the chunks the caller may see, float32 [len(terms)]."""
        ...

    def bm25(self, terms: Sequence[str], allowed: Allowed) -> tuple[Rows, Scores]:
        """Every allowed chunk that holds a term, with its BM25 score (k1 1.2, b 0.75), unsorted."""
        ...

    def cosine(self, embedder: str, vector: Scores, allowed: Allowed) -> tuple[Rows, Scores]:
        """Every allowed chunk that has a vector of ``embedder``, with its cosine, unsorted."""
        ...

    def sentences(self, embedder: str, vector: Scores, rows: Rows) -> list[list[SentenceHit]]:
        """For each row, its sentences in order with their cosines to ``vector``."""
        ...

    def passages(self, rows: Rows) -> list[Passage]:
        """The chunks' text and place, score 0; the title is the document's."""
        ...
