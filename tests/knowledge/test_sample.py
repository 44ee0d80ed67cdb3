from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.knowledge.factory import add, library, page

from banyan.core.context import Context
from banyan.core.fakes import HashEmbedder
from banyan.knowledge import sample
from banyan.knowledge.embed import Embedders
from banyan.knowledge.language import detect
from banyan.knowledge.library import Library
from banyan.knowledge.parse.limits import ParseLimits


def test_the_sample_is_added_once_and_suggests_its_own_questions(tmp_path: Path) -> None:
    shelf = library(tmp_path)
    shelf.ensure_sample(Context())
    (base,) = shelf.bases(Context())
    assert (base.id, base.failed) == ("sample", 0)
    assert base.documents >= 28
    before = shelf.documents("sample", Context())
    shelf.ensure_sample(Context())
    assert shelf.documents("sample", Context()) == before
    assert {detect(record.title) for record in before} == {"en", "zh"}
    asked = shelf.suggest("sample", Context())
    assert [detect(question) for question in asked] == ["en"] * 3 + ["zh"] * 3


def test_a_removed_sample_stays_removed(tmp_path: Path) -> None:
    shelf = library(tmp_path)
    shelf.ensure_sample(Context())
    shelf.remove_base("sample", Context())
    shelf.ensure_sample(Context())
    assert shelf.bases(Context()) == []


def test_a_newer_package_changes_its_pages_and_only_those(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = tmp_path / "pages" / "en"
    pages.mkdir(parents=True)
    monkeypatch.setattr(sample, "_FOLDER", tmp_path / "pages")
    (pages / "one.md").write_text("# One\n\nThe first page.")
    (pages / "two.md").write_text("# Two\n\nThe second page.")
    shelf = library(tmp_path / "library")
    shelf.ensure_sample(Context())
    (pages / "one.md").write_text("# One\n\nThe first page, mended.")
    (pages / "two.md").unlink()
    shelf.ensure_sample(Context())
    (record,) = shelf.documents("sample", Context())
    assert "mended" in shelf.document(record.id, Context())[1].text


def test_what_a_person_added_to_the_sample_stays_with_a_newer_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = tmp_path / "pages" / "en"
    pages.mkdir(parents=True)
    monkeypatch.setattr(sample, "_FOLDER", tmp_path / "pages")
    (pages / "one.md").write_text("# One\n\nThe first page.")
    shelf = library(tmp_path / "library")
    shelf.ensure_sample(Context())
    add(shelf, "mine.md", page("Mine", "My own page."), base="sample")
    (pages / "one.md").write_text("# One\n\nMended.")
    shelf.ensure_sample(Context())
    assert [one.path for one in shelf.documents("sample", Context())] == ["en/one.md", "mine.md"]


class Watching(HashEmbedder):
    """Looks at the list of bases, from another library, whenever something is embedded."""

    def __init__(self, watcher: Library) -> None:
        super().__init__()
        self.watcher = watcher
        self.seen: list[int] = []

    def embed(self, texts: Sequence[str], context: Context) -> NDArray[np.float32]:
        self.seen += [base.reading for base in self.watcher.bases(Context())]
        return super().embed(texts, context)


def test_the_base_says_how_many_pages_cannot_be_found_yet(tmp_path: Path) -> None:
    watching = Watching(library(tmp_path))
    shelf = Library(tmp_path, embedders=Embedders(multilingual=watching), limits=ParseLimits())
    shelf.ensure_sample(Context())
    assert watching.seen[0] == 30
    assert [base.reading for base in shelf.bases(Context())] == [0]
