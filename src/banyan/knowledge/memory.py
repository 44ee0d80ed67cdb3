"""A Snapshot by brute force: every question walks every chunk. The oracle of the real one.

It is obvious rather than quick, and needs no folder: handy in tests of whatever searches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from banyan.core.types import Passage
from banyan.knowledge import chunks as indexed
from banyan.knowledge.bm25 import K1, B
from banyan.knowledge.chunks import Chunk, IndexedDocument
from banyan.knowledge.snapshot import Allowed, SentenceHit

if TYPE_CHECKING:
    from banyan.knowledge.snapshot import Rows, Scores


class MemorySnapshot:
    """The chunks of ``documents``; row n is the n-th of them."""

    def __init__(self, documents: Sequence[IndexedDocument]) -> None:
        self._chunks: list[Chunk] = []
        self._passages: list[Passage] = []
        for entry in documents:
            for position, chunk in enumerate(entry.chunks):
                self._chunks.append(chunk)
                self._passages.append(indexed.passage(entry.record, position, chunk))

    @property
    def size(self) -> int:
        return len(self._chunks)

    def idf(self, terms: Sequence[str], allowed: Allowed) -> Scores:
        rows = self._allowed(allowed)
        values = [self._idf(term, rows) for term in terms]
        return np.array(values, dtype=np.float32)

    def bm25(self, terms: Sequence[str], allowed: Allowed) -> tuple[Rows, Scores]:
        rows = self._allowed(allowed)
        found: dict[int, float] = {}
        mean = sum(len(self._chunks[row].terms) for row in rows) / max(len(rows), 1)
        for term in set(terms):
            idf = self._idf(term, rows)
            for row in rows:
                count = self._chunks[row].terms.count(term)
                if count:
                    length = len(self._chunks[row].terms)
                    share = count * (K1 + 1) / (count + K1 * (1 - B + B * length / mean))
                    found[row] = found.get(row, 0.0) + idf * share
        return _columns(found)

    def cosine(self, embedder: str, vector: Scores, allowed: Allowed) -> tuple[Rows, Scores]:
        return _columns(
            {
                row: float(self._chunks[row].vectors[embedder] @ vector)
                for row in self._allowed(allowed)
                if embedder in self._chunks[row].vectors
            }
        )

    def sentences(self, embedder: str, vector: Scores, rows: Rows) -> list[list[SentenceHit]]:
        return [self._sentences(embedder, vector, int(row)) for row in rows]

    def _sentences(self, embedder: str, vector: Scores, row: int) -> list[SentenceHit]:
        chunk = self._chunks[row]
        matrix = chunk.sentence_vectors.get(embedder)
        return [
            SentenceHit(
                row=row,
                start=start,
                end=end,
                text=chunk.text[start - chunk.start : end - chunk.start],
                cosine=0.0 if matrix is None else float(matrix[number] @ vector),
            )
            for number, (start, end) in enumerate(chunk.sentences)
        ]

    def passages(self, rows: Rows) -> list[Passage]:
        return [self._passages[int(row)] for row in rows]

    def _allowed(self, allowed: Allowed) -> list[int]:
        return [
            row
            for row, passage in enumerate(self._passages)
            if allowed is None or passage.label in allowed
        ]

    def _idf(self, term: str, rows: Sequence[int]) -> float:
        holding = sum(term in self._chunks[row].terms for row in rows)
        return math.log(1 + (len(rows) - holding + 0.5) / (holding + 0.5))


def _columns(found: dict[int, float]) -> tuple[Rows, Scores]:
    return (
        np.array(list(found), dtype=np.int64),
        np.array(list(found.values()), dtype=np.float32),
    )
