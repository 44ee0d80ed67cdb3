from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.knowledge.factory import BASE, HASH, add, library, page, reader

from banyan.core.context import PUBLIC, Context
from banyan.core.errors import AccessError, Cancelled, InputError, UnknownBase
from banyan.core.events import DocumentAdded, Progress
from banyan.core.fakes import HashEmbedder
from banyan.knowledge import ingest
from banyan.knowledge.embed import Embedders
from banyan.knowledge.library import Library
from banyan.knowledge.parse.limits import ParseLimits
from banyan.knowledge.records import Block, Document


@pytest.fixture
def shelf(tmp_path: Path) -> Library:
    made = library(tmp_path / "library")
    made.create_base(BASE, "Base", Context())
    return made


def _ends(events: object) -> list[tuple[str, str]]:
    assert hasattr(events, "__iter__")
    return [(one.path, one.status) for one in events if isinstance(one, DocumentAdded)]


def test_a_document_comes_back_as_it_was_given(shelf: Library) -> None:
    given = page("Alpha", "First paragraph.", "第二段。", "| a | b |")
    ended = add(shelf, "notes/alpha.md", given)
    record, kept = shelf.document(ended.document_id, Context())
    assert kept == given
    assert (record.title, record.path, record.status) == ("Alpha", "notes/alpha.md", "ready")
    assert record.chunks == ended.chunks == 1
    assert record.size_bytes == len(given.text.encode())


def test_passages_point_into_the_document(shelf: Library) -> None:
    long = page("Alpha", *(f"Paragraph {n} about the banyan. " * 20 for n in range(12)))
    add(shelf, "a", long)
    for passage in shelf.search("banyan paragraph", BASE, Context()):
        _, document = shelf.document(passage.document_id, Context())
        assert document.text[passage.start : passage.end] == passage.text
        assert shelf.passage(passage.id, Context()).text == passage.text


def test_the_same_content_is_left_alone_and_changed_content_replaces(shelf: Library) -> None:
    first = add(shelf, "a", page("Alpha", "One."))
    again = add(shelf, "a", page("Alpha", "One."))
    changed = add(shelf, "a", page("Alpha", "Two."))
    assert [one.status for one in (first, again, changed)] == ["ready", "unchanged", "ready"]
    assert first.document_id == again.document_id != changed.document_id
    assert len(shelf.documents(BASE, Context())) == 1


def test_the_same_content_under_another_label_moves_there(shelf: Library) -> None:
    add(shelf, "a", page("Alpha", "One."))
    assert add(shelf, "a", page("Alpha", "One."), label="hr").status == "ready"
    assert [record.label for record in shelf.documents(BASE, Context())] == ["hr"]


def test_a_path_that_only_others_may_see_is_not_replaced(shelf: Library) -> None:
    add(shelf, "a", page("Alpha", "Secret."), label="hr")
    events = shelf.add_documents([("a", page("Alpha", "Mine."))], BASE, reader(PUBLIC))
    assert _ends(events) == [("a", "ready")]
    labels = [record.label for record in shelf.documents(BASE, Context())]
    assert labels == ["hr", PUBLIC]


def test_nobody_adds_under_a_label_they_may_not_see(shelf: Library) -> None:
    with pytest.raises(AccessError):
        list(shelf.add_documents([("a", page("A", "x"))], BASE, reader(PUBLIC), label="hr"))


def test_an_unknown_base_is_an_error_before_anything_is_read(shelf: Library) -> None:
    with pytest.raises(UnknownBase, match="nowhere"):
        list(shelf.add_documents([("a", page("A", "x"))], "nowhere", Context()))


def test_two_documents_of_one_path_are_refused_before_anything_is_added(shelf: Library) -> None:
    with pytest.raises(InputError, match="Two documents"):
        list(shelf.add_documents([("a", page("A", "x")), ("a", page("A", "y"))], BASE, Context()))
    assert shelf.documents(BASE, Context()) == []


@pytest.mark.parametrize(
    "bad",
    [
        Document(title="Empty", media_type="text/plain", blocks=()),
        Document(
            title="Torn",
            media_type="text/plain",
            blocks=(Block(kind="paragraph", text="half a character \ud800"),),
        ),
    ],
)
def test_a_bad_document_is_a_record_with_a_reason_and_stops_nothing(
    shelf: Library, bad: Document
) -> None:
    events = shelf.add_documents(
        [("a", page("A", "x")), ("bad", bad), ("c", page("C", "y"))], BASE, Context()
    )
    ended = _ends(events)
    assert ended == [("bad", "failed"), ("a", "ready"), ("c", "ready")]  # it waits for nothing
    (record,) = (one for one in shelf.documents(BASE, Context()) if one.status == "failed")
    assert record.path == "bad"
    assert record.reason
    assert shelf.bases(Context())[0].failed == 1


def test_files_that_cannot_be_read_are_records_and_missing_ones_only_events(
    shelf: Library, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "good.md").write_text("# Good\n\nThe banyan is a tree.")
    (folder / "empty.txt").write_text("")
    (folder / ".hidden").write_text("not looked at")
    (folder / "link.md").symlink_to(folder / "good.md")
    missing = tmp_path / "missing.md"
    ended = dict(_ends(shelf.add([folder, missing], BASE, Context())))
    assert ended == {
        str(folder / "good.md"): "ready",
        str(folder / "empty.txt"): "failed",
        str(folder / "link.md"): "failed",
        str(missing): "failed",
    }
    paths = {Path(record.path).name for record in shelf.documents(BASE, Context())}
    assert paths == {"good.md", "empty.txt", "link.md"}


def test_adding_a_folder_again_reads_only_what_changed_or_failed(
    shelf: Library, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.txt").write_text(f"The text of {name}.")
    (folder / "bad.txt").write_text("")
    list(shelf.add([folder], BASE, Context()))
    (folder / "two.txt").write_text("Another text.")
    (folder / "bad.txt").write_text("No longer empty.")
    ended = {
        Path(path).name: status for path, status in _ends(shelf.add([folder], BASE, Context()))
    }
    assert ended == {"one.txt": "unchanged", "two.txt": "ready", "bad.txt": "ready"}


def test_a_file_over_the_limit_is_not_even_hashed(tmp_path: Path) -> None:
    limits = ParseLimits(max_upload_bytes=10)
    shelf = Library(tmp_path / "library", embedders=Embedders(multilingual=HASH), limits=limits)
    shelf.create_base(BASE, "Base", Context())
    (tmp_path / "big.txt").write_text("more than ten bytes")
    list(shelf.add([tmp_path / "big.txt"], BASE, Context()))
    (record,) = shelf.documents(BASE, Context())
    assert "max_upload_bytes = 10" in record.reason
    assert record.sha256 == ""


def test_progress_is_counted_to_the_end(shelf: Library) -> None:
    named = [(f"d{n}", page(f"D{n}", "text")) for n in range(3)]
    progress = [
        event
        for event in shelf.add_documents(named, BASE, Context())
        if isinstance(event, Progress)
    ]
    read = [event.done for event in progress if event.stage == "read"]
    assert read == [0, 1, 2, 3]
    embedded = [event for event in progress if event.stage == "embed"]
    assert embedded[-1].done <= (embedded[-1].total or 0)


class _Stopping(HashEmbedder):
    """Cancels its context at the third batch of texts."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context, self._batches = context, 0

    def embed(self, texts: Sequence[str], context: Context) -> np.ndarray:
        self._batches += 1
        if self._batches == 3:
            self._context.cancel.set()
        return super().embed(texts, context)


def test_cancelling_between_batches_keeps_what_was_committed_and_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "GROUP_CHUNKS", 1)
    context = Context()
    embedders = Embedders(multilingual=_Stopping(context))
    shelf = Library(tmp_path, embedders=embedders, limits=ParseLimits())
    shelf.create_base(BASE, "Base", Context())
    named = [(f"d{n}", page(f"D{n}", f"text {n}")) for n in range(5)]
    with pytest.raises(Cancelled):
        list(shelf.add_documents(named, BASE, context))
    assert [record.path for record in shelf.documents(BASE, Context())] == ["d0", "d1"]
    assert _ends(shelf.add_documents(named, BASE, Context()))[:3] == [
        ("d0", "unchanged"),
        ("d1", "unchanged"),
        ("d2", "ready"),
    ]


def test_an_embedder_that_came_later_is_given_the_old_documents_when_added_again(
    tmp_path: Path,
) -> None:
    english = HashEmbedder(16, "english-16")
    plain = library(tmp_path)
    plain.create_base(BASE, "Base", Context())
    add(plain, "en", page("English", "The banyan is a tree."))
    add(plain, "zh", page("榕树", "榕树是一种树。"))
    plain.close()
    both = Embedders(multilingual=HASH, english=english)
    richer = Library(tmp_path, embedders=both, limits=ParseLimits())
    assert add(richer, "zh", page("榕树", "榕树是一种树。")).status == "unchanged"
    assert add(richer, "en", page("English", "The banyan is a tree.")).status == "ready"
    with richer.snapshot(BASE) as view:
        rows, _ = view.cosine(english.name, english.embed(["tree"], Context())[0], None)
        assert [passage.title for passage in view.passages(rows)] == ["English"]
