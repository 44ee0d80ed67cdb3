"""Postings: which chunks hold a term, packed in one blob per (segment, term).

An entry is eight bytes: the chunk's row, how often it holds the term, and how many terms it has
in all, so that scoring needs nothing else. Entries name rows and not places in a segment, so
segments are merged by laying their blobs end to end. Deleting rewrites the blobs of the terms
concerned in the same transaction: there are no tombstones, hence nothing of a deleted chunk is
ever counted, scored or left on disk. Small segments are merged by size, four of a tier into one
of the next, so a base of a million chunks has a few dozen.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

from banyan.core.errors import StoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Entries = NDArray[np.void]

ENTRY = np.dtype([("row", "<u4"), ("count", "<u2"), ("length", "<u2")])
MAX_ROW = (1 << 32) - 1
FANOUT = 4
SMALLEST_TIER = 256
LARGEST_MERGED = 1 << 14
"""A segment of that many chunks stays as it is: merging it would hold up other writers."""

_PACK = struct.Struct("<IHH")
_MOST = (1 << 16) - 1


def add(db: sqlite3.Connection, segment: int, chunks: Mapping[int, Sequence[str]]) -> None:
    """Write the postings of ``chunks`` (row -> its terms) into an empty segment."""
    if max(chunks) > MAX_ROW:
        raise StoreError(
            f"The store has used up its {MAX_ROW} rows.",
            remedy="Export its bases and import them into a new folder.",
        )
    entries: defaultdict[str, bytearray] = defaultdict(bytearray)
    for row, terms in chunks.items():
        length = min(len(terms), _MOST)
        for term, count in Counter(terms).items():
            entries[term] += _PACK.pack(row, min(count, _MOST), length)
    db.executemany(
        "INSERT INTO postings (segment_id, term, entries) VALUES (?, ?, ?)",
        ((segment, term, bytes(entries[term])) for term in sorted(entries)),
    )
    db.execute(
        "UPDATE segments SET chunks = chunks + ?, terms = terms + ? WHERE id = ?",
        (len(chunks), _total(chunks.values()), segment),
    )


def purge(db: sqlite3.Connection, segment: int, chunks: Mapping[int, Sequence[str]]) -> None:
    """Take ``chunks`` (row -> its terms) out of a segment, and the segment when it is empty."""
    doomed = np.fromiter(chunks, dtype=np.uint32, count=len(chunks))
    for term in set(itertools.chain.from_iterable(chunks.values())):
        found = db.execute(
            "SELECT entries FROM postings WHERE segment_id = ? AND term = ?", (segment, term)
        ).fetchone()
        if found is not None:
            _keep_others(db, segment, term, np.frombuffer(found[0], dtype=ENTRY), doomed)
    db.execute(
        "UPDATE segments SET chunks = chunks - ?, terms = terms - ?, revision = revision + 1"
        " WHERE id = ?",
        (len(chunks), _total(chunks.values()), segment),
    )


def _keep_others(
    db: sqlite3.Connection, segment: int, term: str, entries: Entries, doomed: NDArray[np.uint32]
) -> None:
    kept = entries[~np.isin(entries["row"], doomed)]
    if len(kept):
        db.execute(
            "UPDATE postings SET entries = ? WHERE segment_id = ? AND term = ?",
            (kept.tobytes(), segment, term),
        )
    else:
        db.execute("DELETE FROM postings WHERE segment_id = ? AND term = ?", (segment, term))


def _total(chunks: Iterable[Sequence[str]]) -> int:
    return sum(min(len(terms), _MOST) for terms in chunks)


def holding(
    db: sqlite3.Connection, segments: Sequence[int], terms: Sequence[str]
) -> dict[str, int]:
    """In how many chunks of ``segments`` each term occurs; absent where in none."""
    rows = db.execute(
        "SELECT term, SUM(length(entries)) FROM postings"
        " WHERE segment_id IN (SELECT value FROM json_each(?))"
        " AND term IN (SELECT value FROM json_each(?)) GROUP BY term",
        (json.dumps(list(segments)), json.dumps(list(terms))),
    )
    return {term: size // ENTRY.itemsize for term, size in rows}


def entries(
    db: sqlite3.Connection, segments: Sequence[int], terms: Sequence[str]
) -> Iterator[tuple[str, Entries]]:
    """Yield (term, its entries in all of ``segments``), terms in order, absent ones left out."""
    rows = db.execute(
        "SELECT term, entries FROM postings"
        " WHERE segment_id IN (SELECT value FROM json_each(?))"
        " AND term IN (SELECT value FROM json_each(?)) ORDER BY term",
        (json.dumps(list(segments)), json.dumps(list(terms))),
    )
    for term, group in itertools.groupby(rows, key=itemgetter(0)):
        yield term, np.frombuffer(b"".join(blob for _, blob in group), dtype=ENTRY)


def merge(db: sqlite3.Connection, base_id: str, label: str) -> None:
    """Merge segments until no tier holds ``FANOUT`` of them; drop empty ones."""
    db.execute(
        "DELETE FROM segments WHERE base_id = ? AND label = ? AND chunks = 0", (base_id, label)
    )
    while group := _mergeable(db, base_id, label):
        _merge(db, base_id, label, group)


def _mergeable(db: sqlite3.Connection, base_id: str, label: str) -> list[int]:
    tiers: defaultdict[int, list[int]] = defaultdict(list)
    for segment, chunks in db.execute(
        "SELECT id, chunks FROM segments WHERE base_id = ? AND label = ? ORDER BY id",
        (base_id, label),
    ):
        if chunks < LARGEST_MERGED:
            tiers[_tier(chunks)].append(segment)
    return next((tiers[tier] for tier in sorted(tiers) if len(tiers[tier]) >= FANOUT), [])


def _tier(chunks: int) -> int:
    tier, size = 0, SMALLEST_TIER
    while chunks >= size:
        tier, size = tier + 1, size * FANOUT
    return tier


def _merge(db: sqlite3.Connection, base_id: str, label: str, group: Sequence[int]) -> None:
    listed = json.dumps(list(group))
    merged = db.execute(
        "INSERT INTO segments (base_id, label, revision, chunks, terms)"
        " SELECT ?, ?, 0, SUM(chunks), SUM(terms) FROM segments"
        " WHERE id IN (SELECT value FROM json_each(?))",
        (base_id, label, listed),
    ).lastrowid
    db.executemany(
        "INSERT INTO postings (segment_id, term, entries) VALUES (?, ?, ?)",
        ((merged, term, blob) for term, blob in _end_to_end(db, group)),
    )
    db.execute(
        "UPDATE documents SET segment_id = ? WHERE segment_id IN (SELECT value FROM json_each(?))",
        (merged, listed),
    )
    db.execute(
        "DELETE FROM postings WHERE segment_id IN (SELECT value FROM json_each(?))", (listed,)
    )
    db.execute("DELETE FROM segments WHERE id IN (SELECT value FROM json_each(?))", (listed,))


def _end_to_end(db: sqlite3.Connection, group: Sequence[int]) -> Iterator[tuple[str, bytes]]:
    """All terms of ``group`` in order; ``LARGEST_MERGED`` bounds what is held meanwhile."""
    blobs: defaultdict[str, list[bytes]] = defaultdict(list)
    for segment in group:
        for term, entries in db.execute(
            "SELECT term, entries FROM postings WHERE segment_id = ?", (segment,)
        ):
            blobs[term].append(entries)
    for term in sorted(blobs):
        yield term, b"".join(blobs[term])
