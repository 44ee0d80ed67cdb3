from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from tests.knowledge.factory import BASE, create_base

from banyan.core.context import Context
from banyan.core.errors import StoreError
from banyan.knowledge import postings
from banyan.knowledge.store import Store

LABEL = "public"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    store = Store(tmp_path)
    create_base(store)
    with store.write(Context()) as connection:
        yield connection
    store.close()


def _segment(db: sqlite3.Connection, chunks: Mapping[int, Sequence[str]]) -> int:
    number = db.execute(
        "INSERT INTO segments (base_id, label, revision, chunks, terms) VALUES (?, ?, 0, 0, 0)",
        (BASE, LABEL),
    ).lastrowid
    assert number is not None
    postings.add(db, number, chunks)
    return number


def _segments(db: sqlite3.Connection) -> list[tuple[int, int, int]]:
    return db.execute("SELECT id, chunks, terms FROM segments ORDER BY id").fetchall()


def _rows(db: sqlite3.Connection, term: str) -> dict[int, tuple[int, int]]:
    segments = [one for one, _, _ in _segments(db)]
    return {
        int(entry["row"]): (int(entry["count"]), int(entry["length"]))
        for _, found in postings.entries(db, segments, [term])
        for entry in found
    }


def test_an_entry_says_the_row_how_often_and_how_long(db: sqlite3.Connection) -> None:
    _segment(db, {7: ["tree", "tree", "leaf"], 9: ["leaf"]})
    assert _rows(db, "tree") == {7: (2, 3)}
    assert _rows(db, "leaf") == {7: (1, 3), 9: (1, 1)}
    assert _rows(db, "absent") == {}


def test_holding_counts_chunks_over_segments(db: sqlite3.Connection) -> None:
    one = _segment(db, {1: ["tree"], 2: ["tree", "tree"]})
    two = _segment(db, {3: ["tree"], 4: ["leaf"]})
    assert postings.holding(db, [one, two], ["tree", "leaf", "no"]) == {"tree": 3, "leaf": 1}
    assert postings.holding(db, [two], ["tree"]) == {"tree": 1}


def test_purged_chunks_leave_no_entry_and_no_count(db: sqlite3.Connection) -> None:
    segment = _segment(db, {1: ["tree", "rare"], 2: ["tree"]})
    postings.purge(db, segment, {1: ["tree", "rare"]})
    assert _rows(db, "tree") == {2: (1, 1)}
    assert _segments(db) == [(segment, 1, 1)]
    terms = db.execute("SELECT term FROM postings").fetchall()
    assert terms == [("tree",)]


def test_a_purge_raises_the_revision_so_that_no_cache_is_believed(db: sqlite3.Connection) -> None:
    segment = _segment(db, {1: ["tree"], 2: ["tree"]})
    postings.purge(db, segment, {1: ["tree"]})
    assert db.execute("SELECT revision FROM segments").fetchone() == (1,)


def test_four_segments_of_a_tier_become_one_with_the_same_entries(db: sqlite3.Connection) -> None:
    for row in range(4):
        _segment(db, {row: ["tree"] * (row + 1), row + 10: ["leaf", f"only{row}"]})
        if row < 3:
            postings.merge(db, BASE, LABEL)
            assert len(_segments(db)) == row + 1
    postings.merge(db, BASE, LABEL)
    ((_, chunks, terms),) = _segments(db)
    assert (chunks, terms) == (8, 1 + 2 + 3 + 4 + 8)
    assert _rows(db, "tree") == {row: (row + 1, row + 1) for row in range(4)}
    assert _rows(db, "only2") == {12: (1, 2)}


def test_random_segments_merge_into_few_and_lose_nothing(db: sqlite3.Connection) -> None:
    rng = random.Random(3)
    words = [f"word{n}" for n in range(40)] + ["中文", "文字", "élan"]
    expected: dict[str, dict[int, tuple[int, int]]] = {word: {} for word in words}
    row = 0
    for _ in range(60):
        chunks = {}
        for _ in range(rng.randrange(1, 40)):
            row += 1
            chunks[row] = rng.choices(words, k=rng.randrange(1, 12))
            for word in set(chunks[row]):
                expected[word][row] = chunks[row].count(word), len(chunks[row])
        _segment(db, chunks)
        postings.merge(db, BASE, LABEL)
    assert len(_segments(db)) <= 7
    assert {word: _rows(db, word) for word in words} == expected


def test_rows_beyond_four_bytes_are_refused(db: sqlite3.Connection) -> None:
    with pytest.raises(StoreError, match="used up"):
        _segment(db, {postings.MAX_ROW + 1: ["tree"]})
