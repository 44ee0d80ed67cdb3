"""What every Snapshot keeps: the store's view and the brute-force one answer alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.knowledge.factory import BASE, EMBEDDER, create_base, document, unit

from banyan.core.context import Context
from banyan.core.errors import UnknownDocument
from banyan.knowledge import documents as rows_of
from banyan.knowledge.chunks import IndexedDocument
from banyan.knowledge.memory import MemorySnapshot
from banyan.knowledge.snapshot import Snapshot
from banyan.knowledge.store import Store
from banyan.knowledge.vectors import VectorCache
from banyan.knowledge.view import View

BYTE_VECTORS = 0.005
"""How far a byte a dimension may move a cosine of the 64-dimensional double: seven sigma."""

Make = Callable[[list[IndexedDocument]], Snapshot]


@pytest.fixture(params=["memory", "store"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    if request.param == "memory":
        yield MemorySnapshot
        return
    with ExitStack() as stack:
        yield lambda documents: _stored(tmp_path, documents, stack)


def _stored(folder: Path, documents: list[IndexedDocument], stack: ExitStack) -> Snapshot:
    store = Store(folder)
    stack.callback(store.close)
    create_base(store)
    for entry in documents:  # one segment each, then merged by size
        with store.write(Context()) as db:
            rows_of.insert(db, [entry])
    return View(stack.enter_context(store.read()), BASE, VectorCache())


def _titles(snapshot: Snapshot, rows: np.ndarray) -> set[str]:
    return {passage.title for passage in snapshot.passages(rows)}


def test_an_empty_base_finds_nothing(make: Make) -> None:
    snapshot = make([])
    rows, scores = snapshot.bm25(["anything"], None)
    assert snapshot.size == len(rows) == len(scores) == 0
    assert len(snapshot.cosine(EMBEDDER, unit(0), None)[0]) == 0
    assert snapshot.idf(["anything"], None).shape == (1,)


def test_bm25_finds_the_chunks_that_hold_a_term_and_prefers_the_fuller(make: Make) -> None:
    snapshot = make(
        [
            document("one", ["the banyan tree has many trunks"]),
            document("two", ["a banyan banyan banyan"]),
            document("three", ["nothing of the kind"]),
        ]
    )
    rows, scores = snapshot.bm25(["banyan"], None)
    best = rows[np.argsort(-scores)]
    assert [passage.title for passage in snapshot.passages(best)] == ["two", "one"]
    assert all(passage.score == 0 for passage in snapshot.passages(best))


def test_a_term_asked_twice_counts_once(make: Make) -> None:
    snapshot = make([document("one", ["banyan tree"]), document("two", ["oak"])])
    once, twice = snapshot.bm25(["banyan"], None)[1], snapshot.bm25(["banyan"] * 2, None)[1]
    assert np.allclose(once, twice)


def test_a_rare_term_weighs_more_than_a_common_one(make: Make) -> None:
    snapshot = make([document(f"d{n}", ["tree " + ("banyan" if n == 0 else "")]) for n in range(9)])
    rare, common, absent = snapshot.idf(["banyan", "tree", "oak"], None)
    assert absent > rare > common > 0


def test_cosines_are_those_of_the_stored_vectors(make: Make) -> None:
    entries = [document(f"d{n}", [f"text {n}"]) for n in range(5)]
    snapshot = make(entries)
    question = unit(99)
    rows, cosines = snapshot.cosine(EMBEDDER, question, None)
    found = {
        passage.title: cosine
        for passage, cosine in zip(snapshot.passages(rows), cosines, strict=True)
    }
    for entry in entries:
        expected = float(entry.chunks[0].vectors[EMBEDDER] @ question)
        assert found[entry.record.title] == pytest.approx(expected, abs=BYTE_VECTORS)


def test_an_embedder_nobody_used_has_no_cosines(make: Make) -> None:
    rows, cosines = make([document("one", ["text"])]).cosine("stranger", unit(0), None)
    assert len(rows) == len(cosines) == 0


def test_sentences_come_in_order_with_their_place_and_cosine(make: Make) -> None:
    entry = document("one", ["First sentence. Second sentence."])
    snapshot = make([entry])
    rows, _ = snapshot.bm25(["first"], None)
    (hits,) = snapshot.sentences(EMBEDDER, unit(7), rows)
    assert [hit.text for hit in hits] == ["First sentence.", "Second sentence."]
    text = "First sentence. Second sentence."
    assert all(text[hit.start : hit.end] == hit.text and hit.row == rows[0] for hit in hits)
    expected = entry.chunks[0].sentence_vectors[EMBEDDER] @ unit(7)
    assert [hit.cosine for hit in hits] == pytest.approx(expected.tolist(), abs=BYTE_VECTORS)


def test_sentences_without_vectors_still_have_text(make: Make) -> None:
    snapshot = make([document("one", ["First sentence."])])
    rows, _ = snapshot.bm25(["first"], None)
    assert [hit.cosine for hit in snapshot.sentences("stranger", unit(7), rows)[0]] == [0.0]


def test_rows_keep_the_order_they_are_asked_in(make: Make) -> None:
    snapshot = make([document(f"d{n}", ["tree"]) for n in range(4)])
    rows, _ = snapshot.bm25(["tree"], None)
    backwards = snapshot.passages(rows[::-1])
    assert [passage.id for passage in backwards] == [
        passage.id for passage in reversed(snapshot.passages(rows))
    ]


@pytest.mark.parametrize("row", [-1, 10**6])
def test_a_row_of_no_chunk_is_an_error_or_unknown(make: Make, row: int) -> None:
    with pytest.raises((UnknownDocument, IndexError)):
        make([]).passages(np.array([row]))


def test_a_hidden_label_is_never_found_and_changes_no_score(make: Make, tmp_path: Path) -> None:
    public = [document(f"p{n}", [f"banyan text {n}"]) for n in range(3)]
    hidden = [document(f"h{n}", ["banyan secret"], label="hr") for n in range(5)]
    mixed, alone = make(public + hidden), MemorySnapshot(public)
    allowed = frozenset({"public"})
    for terms in (["banyan"], ["secret"], ["banyan", "text", "secret"]):
        rows, scores = mixed.bm25(terms, allowed)
        expected_rows, expected = alone.bm25(terms, None)
        assert _titles(mixed, rows) == _titles(alone, expected_rows)
        assert np.allclose(sorted(scores), sorted(expected), atol=1e-5)
        assert np.allclose(mixed.idf(terms, allowed), alone.idf(terms, None), atol=1e-6)
    rows, _ = mixed.cosine(EMBEDDER, unit(0), allowed)
    assert _titles(mixed, rows) == {"p0", "p1", "p2"}
    assert len(mixed.bm25(["banyan"], frozenset())[0]) == 0


_WORDS = st.sampled_from(["tree", "banyan", "root", "trunk", "leaf", "crown", "seed"])
_TEXTS = st.lists(_WORDS, min_size=1, max_size=12).map(" ".join)
_DOCUMENTS = st.lists(
    st.tuples(st.lists(_TEXTS, min_size=1, max_size=4), st.sampled_from(["public", "hr", "law"])),
    max_size=12,
)
_ALLOWED = st.sampled_from(
    [None, frozenset({"public"}), frozenset({"hr", "law"}), frozenset({"none"})]
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(contents=_DOCUMENTS, asked=st.lists(_WORDS, max_size=5), allowed=_ALLOWED)
def test_the_store_scores_as_the_naive_one(
    contents: list[tuple[list[str], str]],
    asked: list[str],
    allowed: frozenset[str] | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    documents = [document(f"d{n}", texts, label=label) for n, (texts, label) in enumerate(contents)]
    with ExitStack() as stack:
        real = _stored(tmp_path_factory.mktemp("store"), documents, stack)
        naive = MemorySnapshot(documents)
        assert real.size == naive.size
        assert np.allclose(real.idf(asked, allowed), naive.idf(asked, allowed), atol=1e-6)
        assert _scores(real, *real.bm25(asked, allowed)) == pytest.approx(
            _scores(naive, *naive.bm25(asked, allowed)), abs=1e-5
        )
        question = unit(len(asked))
        assert _scores(real, *real.cosine(EMBEDDER, question, allowed)) == pytest.approx(
            _scores(naive, *naive.cosine(EMBEDDER, question, allowed)), abs=BYTE_VECTORS
        )


def _scores(snapshot: Snapshot, rows: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    passages = snapshot.passages(rows)
    return {one.id: float(score) for one, score in zip(passages, scores, strict=True)}
