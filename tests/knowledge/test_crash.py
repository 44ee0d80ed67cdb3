"""``kill -9`` at any moment: what is there afterwards is whole, and finishing gives the same base.

A child adds documents, replaces some and deletes others, and is killed at a random moment. Then
the same work is done to the end, and the result is compared with that of a run nobody killed.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.knowledge.factory import BASE, EMBEDDER, bytes_under, library, page, unit

from banyan.core.context import Context
from banyan.knowledge import ingest
from banyan.knowledge.library import Library
from banyan.knowledge.view import View

DOCUMENTS = 40
DELETED = {"d03", "d17", "d31"}
GROUP_CHUNKS = 4  # many small commits, so that a kill falls between and into them
_CHILD = "import sys; from tests.knowledge import test_crash as t; t.child(sys.argv[1])"


def _work(shelf: Library) -> None:
    """Two rounds of adding, with a third of the documents changed and a few deleted at the end."""
    if not shelf.bases(Context()):
        shelf.create_base(BASE, "Base", Context())
    for version in (1, 2):
        named = [
            (f"d{n:02}", page(f"Page {n}", *_paragraphs(n, version))) for n in range(DOCUMENTS)
        ]
        list(shelf.add_documents(named, BASE, Context()))
    for record in shelf.documents(BASE, Context()):
        if record.path in DELETED:
            shelf.delete(record.id, Context())


def _paragraphs(number: int, version: int) -> list[str]:
    wording = f"old{number}x" if version == 1 and number % 3 == 0 else f"new{number}x"
    return [f"The banyan of page {number} says {wording} {n}." for n in range(1 + number % 4)]


def child(folder: str) -> None:
    shelf = library(Path(folder))
    sys.stdout.write("ready\n")  # the parent counts from here
    sys.stdout.flush()
    ingest.GROUP_CHUNKS = GROUP_CHUNKS
    _work(shelf)


Scores = dict[str, float]


def _state(shelf: Library) -> tuple[object, Scores, Scores]:
    """Everything a caller can see of the base: its content, keyword scores and cosines."""
    documents = [
        (record.path, record.id, record.chunks, shelf.document(record.id, Context())[1])
        for record in shelf.documents(BASE, Context())
    ]
    with shelf.snapshot(BASE) as view:
        words = view.bm25(["banyan", "new4x", "old3x", "page"], None)
        near = view.cosine(EMBEDDER, unit(5), None)
        sentences = sorted(
            (hit.start, hit.end, hit.text)
            for hits in view.sentences(EMBEDDER, unit(5), near[0])
            for hit in hits
        )
        return (documents, view.size, sentences), _by_id(view, *words), _by_id(view, *near)


def _by_id(view: View, rows: np.ndarray, scores: np.ndarray) -> Scores:
    names = [passage.id for passage in view.passages(rows)]
    return dict(zip(names, scores.tolist(), strict=True))


def _assert_equal(
    found: tuple[object, Scores, Scores], expected: tuple[object, Scores, Scores]
) -> None:
    assert found[0] == expected[0]
    for scores, others in zip(found[1:], expected[1:], strict=True):
        assert scores == pytest.approx(others, abs=1e-5)


def _kill_after(folder: Path, seconds: float) -> bool:
    """Run the child and kill it; True where it was still at work."""
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(folder)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(seconds)
        process.kill()
    return process.returncode == -signal.SIGKILL


def _is_changed(shelf: Library, document_id: str) -> bool:
    record, document = shelf.document(document_id, Context())
    return int(record.path[1:]) % 3 == 0 and "new" in document.text


def _is_whole(shelf: Library) -> None:
    """A killed run leaves only whole documents, each found by its own words.

    While some are replaced none is missing: the old version goes when the new one comes.
    """
    replacing = any(_is_changed(shelf, record.id) for record in shelf.documents(BASE, Context()))
    if replacing:
        paths = {record.path for record in shelf.documents(BASE, Context())}
        assert paths >= {f"d{n:02}" for n in range(DOCUMENTS)} - DELETED
    for record in shelf.documents(BASE, Context()):
        _, document = shelf.document(record.id, Context())
        assert document.text
        with shelf.snapshot(BASE) as view:
            number = int(record.path[1:])
            words = [f"old{number}x", f"new{number}x"]
            rows, _ = view.bm25(words, None)
            assert {passage.document_id for passage in view.passages(rows)} == {record.id}
            assert len(rows) == record.chunks
            near, _ = view.cosine(EMBEDDER, unit(5), None)
            assert len(near) == view.size


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "GROUP_CHUNKS", GROUP_CHUNKS)


def _check(tmp_path: Path, kills: int, seed: int) -> None:
    clean = library(tmp_path / "clean")
    started = time.monotonic()
    _work(clean)
    duration = time.monotonic() - started
    expected = _state(clean)
    rng = random.Random(seed)
    struck = 0
    for number in range(kills):
        folder = tmp_path / f"killed{number // 3}"  # three kills in a row, then another folder
        struck += _kill_after(folder, rng.uniform(0, duration))
        shelf = library(folder)
        if shelf.bases(Context()):
            _is_whole(shelf)
        if number % 3 == 2 or number == kills - 1:
            _work(shelf)
            _assert_equal(_state(shelf), expected)
            shelf.close()
            assert b"old3x" not in bytes_under(folder)
        shelf.close()
    assert struck > kills // 3


def test_ten_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    _check(tmp_path, 10, seed=1)


@pytest.mark.long
def test_a_hundred_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    _check(tmp_path, 100, seed=2)
