"""Vectors as the store keeps them: a byte a dimension with one scale a row.

A row is four bytes of float32 scale and ``dimensions`` signed bytes: a quarter of float32. On the
vectors of six question sets that moved cosines by 0.0001 to 0.0003 on average (0.001 at most with
512 dimensions, 0.003 with 384) and kept the first passage of 99.7 % of the questions. The search
itself is exact, a matrix product over every row.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from banyan.knowledge.snapshot import Rows

    Floats = NDArray[np.float32]

CACHE_BYTES = 1 << 30
"""Most memory one library gives to vectors; segments used longest ago leave first."""

_SCALE_BYTES = 4
_STEPS = 127


def pack(matrix: Floats) -> list[bytes]:
    """Each row of float32 [rows, dimensions] as bytes."""
    largest = np.abs(matrix).max(axis=1, initial=0.0, keepdims=True).astype("<f4")
    scale = largest / np.float32(_STEPS)
    steps = np.divide(matrix, scale, out=np.zeros_like(matrix), where=scale > 0)
    rows = np.hstack([scale.view(np.uint8), np.rint(steps).astype(np.int8).view(np.uint8)])
    return [row.tobytes() for row in rows]


def unpack(packed: bytes, dimensions: int) -> Floats:
    """The rows of ``pack``, laid end to end, as float32 [rows, dimensions]."""
    rows = np.frombuffer(packed, dtype=np.uint8).reshape(-1, _SCALE_BYTES + dimensions)
    scale = np.ascontiguousarray(rows[:, :_SCALE_BYTES]).view("<f4")
    matrix = rows[:, _SCALE_BYTES:].view(np.int8).astype(np.float32)
    matrix *= scale
    return matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentVectors:
    """The chunks of a segment that have a vector of one embedder: rows and float32 matrix."""

    rows: Rows
    matrix: Floats


def of_segment(
    db: sqlite3.Connection, segment: int, embedder: int, dimensions: int
) -> SegmentVectors:
    """Read the chunk vectors of a segment."""
    found = db.execute(
        "SELECT v.chunk_id, v.vector FROM documents d"
        " JOIN chunks c ON c.document_id = d.id"
        " JOIN vectors v ON v.chunk_id = c.id AND v.embedder_id = ?"
        " WHERE d.segment_id = ?",
        (embedder, segment),
    ).fetchall()
    rows = np.fromiter((row for row, _ in found), dtype=np.int64, count=len(found))
    matrix = unpack(b"".join(packed for _, packed in found), dimensions)
    return SegmentVectors(rows=rows, matrix=matrix)


Key = tuple[int, int, int]
"""Segment, its revision, embedder: what a purge or a merge changes is never found again."""


class VectorCache:
    """Segments' vectors that were used lately, within ``limit_bytes``. For many threads."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[Key, SegmentVectors] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        with self._lock:
            return sum(vectors.matrix.nbytes for vectors in self._kept.values())

    def get(self, key: Key, load: Callable[[], SegmentVectors]) -> SegmentVectors:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        vectors = load()
        with self._lock:
            self._kept[key] = vectors
            total = sum(kept.matrix.nbytes for kept in self._kept.values())
            while total > self._limit_bytes and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                total -= oldest.matrix.nbytes
        return vectors

    def keep_only(self, live: Collection[tuple[int, int]]) -> None:
        """Forget what is of none of the (segment, revision) pairs in ``live``."""
        with self._lock:
            for key in [key for key in self._kept if key[:2] not in live]:
                del self._kept[key]
