"""View: the Snapshot of one base in the store, over one read transaction.

Postings are read from SQLite for each question, for only the terms asked; chunk vectors are kept
in memory by segment. A segment has one label, so a caller's labels choose segments and everything
else follows: what they may not see is not counted, not scored and not read.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from banyan.core.errors import StoreError, UnknownDocument
from banyan.core.types import Passage
from banyan.knowledge import bm25, documents, postings, vectors
from banyan.knowledge.snapshot import Allowed, SentenceHit
from banyan.knowledge.vectors import SegmentVectors, VectorCache

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from banyan.knowledge.snapshot import Rows, Scores

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segment:
    id: int
    label: str
    revision: int
    chunks: int
    terms: int


class View:
    """One base at one moment; usable while the connection's transaction is open."""

    def __init__(self, db: sqlite3.Connection, base_id: str, cache: VectorCache) -> None:
        self._db = db
        self._base_id = base_id
        self._cache = cache
        self._segments = [
            _Segment(id=one, label=label, revision=revision, chunks=chunks, terms=terms)
            for one, label, revision, chunks, terms in db.execute(
                "SELECT id, label, revision, chunks, terms FROM segments WHERE base_id = ?",
                (base_id,),
            )
        ]
        cache.keep_only(set(db.execute("SELECT id, revision FROM segments")))

    @property
    def size(self) -> int:
        return sum(segment.chunks for segment in self._segments)

    def idf(self, terms: Sequence[str], allowed: Allowed) -> Scores:
        chosen = self._chosen(allowed)
        counts = postings.holding(self._db, [segment.id for segment in chosen], terms)
        holding = np.array([counts.get(term, 0) for term in terms], dtype=np.float64)
        total = sum(segment.chunks for segment in chosen)
        return bm25.idf(holding, total).astype(np.float32)

    def bm25(self, terms: Sequence[str], allowed: Allowed) -> tuple[Rows, Scores]:
        chosen = self._chosen(allowed)
        total = sum(segment.chunks for segment in chosen)
        mean = sum(segment.terms for segment in chosen) / max(total, 1)
        rows, scores = [], []
        for _, entries in postings.entries(self._db, [one.id for one in chosen], terms):
            idf = bm25.idf(np.array([len(entries)], dtype=np.float64), total)
            rows.append(entries["row"].astype(np.int64))
            counts, lengths = entries["count"].astype(float), entries["length"].astype(float)
            scores.append(idf * bm25.weights(counts, lengths, mean))
        return _summed(rows, scores)

    def cosine(self, embedder: str, vector: Scores, allowed: Allowed) -> tuple[Rows, Scores]:
        rows, scores = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
        known = self._embedder(embedder, vector)
        for segment in self._chosen(allowed):
            if known is not None:
                found = self._vectors(segment, known, len(vector))
                rows.append(found.rows)
                scores.append(found.matrix @ vector)
        return np.concatenate(rows), np.concatenate(scores)

    def sentences(self, embedder: str, vector: Scores, rows: Rows) -> list[list[SentenceHit]]:
        known = self._embedder(embedder, vector)
        found = self._db.execute(
            # CROSS JOIN keeps this order: from the few rows, never through the whole base.
            "SELECT c.id, c.start, c.text, c.sentences, s.vectors FROM json_each(?) wanted"
            " CROSS JOIN chunks c ON c.id = wanted.value"
            " CROSS JOIN documents d ON d.id = c.document_id AND d.base_id = ?"
            " LEFT JOIN sentence_vectors s ON s.chunk_id = c.id AND s.embedder_id = ?",
            (_listed(rows), self._base_id, known),
        )
        by_row = {row[0]: _hits(*row, vector=vector) for row in found}
        return [_found(by_row, row) for row in rows]

    def passages(self, rows: Rows) -> list[Passage]:
        found = self._db.execute(
            "SELECT found.* FROM json_each(?) wanted"
            " CROSS JOIN passages found ON found.chunk_id = wanted.value WHERE found.base_id = ?",
            (_listed(rows), self._base_id),
        )
        by_row = {row[0]: documents.passage_of(row) for row in found}
        return [_found(by_row, row) for row in rows]

    def _chosen(self, allowed: Allowed) -> list[_Segment]:
        return [one for one in self._segments if allowed is None or one.label in allowed]

    def _embedder(self, name: str, vector: Scores) -> int | None:
        """The id of an embedder that has vectors in the store; None for one it never met."""
        found = self._db.execute(
            "SELECT id, dimensions FROM embedders WHERE name = ?", (name,)
        ).fetchone()
        if found is None:
            return None
        if found[1] != len(vector):
            raise StoreError(
                f"The store's vectors of {name} have {found[1]} dimensions, the question's "
                f"{len(vector)}.",
                remedy="Give an embedder another name when its vectors change.",
            )
        number: int = found[0]
        return number

    def _vectors(self, segment: _Segment, embedder: int, dimensions: int) -> SegmentVectors:
        return self._cache.get(
            (segment.id, segment.revision, embedder),
            partial(vectors.of_segment, self._db, segment.id, embedder, dimensions),
        )


def _summed(rows: list[Rows], scores: list[NDArray[np.float64]]) -> tuple[Rows, Scores]:
    """Add up the scores of equal rows by a dense sum over the span of rows met."""
    if not rows:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    together = np.concatenate(rows)
    first = together.min()
    sums = np.bincount(together - first, weights=np.concatenate(scores))
    met = np.flatnonzero(sums)
    return met + first, sums[met].astype(np.float32)


def _listed(rows: Rows) -> str:
    return json.dumps([int(row) for row in rows])


def _hits(
    row: int, start: int, text: str, offsets: bytes, packed: bytes | None, *, vector: Scores
) -> list[SentenceHit]:
    ranges = documents.unpack_ranges(offsets)
    cosines = np.zeros(len(ranges), np.float32)
    if packed:
        cosines = vectors.unpack(packed, len(vector)) @ vector
    return [
        SentenceHit(
            row=row, start=begin, end=end, text=text[begin - start : end - start], cosine=cosine
        )
        for (begin, end), cosine in zip(ranges, cosines.tolist(), strict=True)
    ]


def _found(by_row: Mapping[int, T], row: int) -> T:
    try:
        return by_row[int(row)]
    except KeyError:
        raise UnknownDocument(f"The base has no passage in row {int(row)}.") from None
