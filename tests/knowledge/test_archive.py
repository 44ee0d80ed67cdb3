from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.knowledge.factory import BASE, EMBEDDER, add, library, page, reader, unit

from banyan.core.context import PUBLIC, Context
from banyan.core.errors import (
    AccessError,
    Conflict,
    InputError,
    LimitExceeded,
    StoreError,
    UnknownBase,
)
from banyan.knowledge.library import Library
from banyan.knowledge.records import Document


@pytest.fixture
def shelf(tmp_path: Path) -> Library:
    made = library(tmp_path / "library")
    made.create_base(BASE, "The base · 知识库", Context())
    add(made, "a", page("Alpha", "The banyan is a tree. It has many trunks.", "第二段。有两句。"))
    add(made, "h", page("Hidden", "The quokka is secret."), label="hr")
    add(made, "bad", Document(title="Bad", media_type="", blocks=()))
    return made


@pytest.fixture
def exported(shelf: Library, tmp_path: Path) -> Path:
    shelf.export(BASE, tmp_path / "base.zip", Context())
    return tmp_path / "base.zip"


def _scores(shelf: Library) -> dict[str, float]:
    with shelf.snapshot(BASE) as view:
        rows, words = view.bm25(["banyan", "secret", "有两"], None)
        near_rows, cosines = view.cosine(EMBEDDER, unit(1), None)
        hits = view.sentences(EMBEDDER, unit(1), near_rows)
        found = {f"w {one.id}": s for one, s in zip(view.passages(rows), words, strict=True)}
        found |= {
            f"v {one.id}": s for one, s in zip(view.passages(near_rows), cosines, strict=True)
        }
        found |= {f"s {hit.text}": hit.cosine for chunk in hits for hit in chunk}
        return {name: float(score) for name, score in found.items()}


def test_an_imported_base_is_the_exported_one(
    shelf: Library, exported: Path, tmp_path: Path
) -> None:
    other = library(tmp_path / "other")
    base = other.import_(exported, Context())
    assert base == shelf.bases(Context())[0]
    assert other.documents(BASE, Context()) == shelf.documents(BASE, Context())
    for record in shelf.documents(BASE, Context()):
        assert other.document(record.id, Context()) == shelf.document(record.id, Context())
    assert _scores(other) == pytest.approx(_scores(shelf), abs=1e-5)
    again = tmp_path / "again.zip"
    other.export(BASE, again, Context())
    contents = [
        [zipfile.ZipFile(path).read(name) for name in ("documents.jsonl", "vectors-0.bin")]
        for path in (exported, again)
    ]
    assert contents[0] == contents[1]


def test_only_what_the_caller_may_see_is_exported(shelf: Library, tmp_path: Path) -> None:
    shelf.export(BASE, tmp_path / "mine.zip", reader(PUBLIC))
    content = zipfile.ZipFile(tmp_path / "mine.zip").read("documents.jsonl")
    assert b"banyan" in content
    assert b"quokka" not in content


def test_export_never_overwrites_and_leaves_nothing_half(shelf: Library, tmp_path: Path) -> None:
    target = tmp_path / "taken.zip"
    target.write_text("mine")
    with pytest.raises(Conflict):
        shelf.export(BASE, target, Context())
    with pytest.raises(UnknownBase):
        shelf.export("nowhere", tmp_path / "new.zip", Context())
    with pytest.raises(StoreError):
        shelf.export(BASE, tmp_path / "no" / "folder.zip", Context())
    assert target.read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"library", "taken.zip"}


def test_a_base_of_that_name_is_not_overwritten(shelf: Library, exported: Path) -> None:
    with pytest.raises(Conflict):
        shelf.import_(exported, Context())


def test_nobody_imports_labels_they_may_not_see(exported: Path, tmp_path: Path) -> None:
    other = library(tmp_path / "other")
    with pytest.raises(AccessError, match="hr"):
        other.import_(exported, reader(PUBLIC))
    assert other.bases(Context()) == []


Change = Callable[[dict[str, bytes]], None]


def _rewritten(source: Path, change: Change, *, rehash: bool = True) -> Path:
    """A copy of an archive whose entries were changed, with hashes that are right again."""
    with zipfile.ZipFile(source) as archive:
        before = {name: archive.read(name) for name in archive.namelist()}
    entries = dict(before)
    change(entries)
    if rehash and entries.get("manifest.json") == before["manifest.json"]:
        manifest = json.loads(before["manifest.json"])
        for name in manifest["files"].keys() & entries:
            digest = hashlib.sha256(entries[name]).hexdigest()
            manifest["files"][name] = {"sha256": digest, "size": len(entries[name])}
        entries["manifest.json"] = json.dumps(manifest).encode()
    target = source.with_name("changed.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return target


def _line(change: Callable[[dict[str, Any]], None]) -> Change:
    """Change the first document's line."""

    def rewrite(entries: dict[str, bytes]) -> None:
        first, *rest = entries["documents.jsonl"].splitlines()
        line = json.loads(first)
        change(line)
        entries["documents.jsonl"] = b"\n".join([json.dumps(line).encode(), *rest]) + b"\n"

    return rewrite


def _manifest(**values: object) -> Change:
    def rewrite(entries: dict[str, bytes]) -> None:
        entries["manifest.json"] = json.dumps(
            json.loads(entries["manifest.json"]) | values
        ).encode()

    return rewrite


HOSTILE: dict[str, Change] = {
    "no manifest": lambda entries: entries.pop("manifest.json") and None,
    "a manifest that is no JSON": lambda entries: entries.update({"manifest.json": b"{"}),
    "a manifest that is a list": lambda entries: entries.update({"manifest.json": b"[]"}),
    "another format": _manifest(format="else"),
    "another version": _manifest(version=2),
    "a bad base id": _manifest(base={"id": "../../etc", "title": "x"}),
    "a title of two lines": _manifest(base={"id": "fine", "title": "a\nb"}),
    "dimensions beyond reason": _manifest(embedders=[{"name": "x", "dimensions": 1 << 40}]),
    "a further entry": lambda entries: entries.update({"../../evil": b"x"}),
    "a missing entry": lambda entries: entries.pop("vectors-0.bin") and None,
    "missing vectors": lambda entries: entries.update({"vectors-0.bin": b"\0" * 5}),
    "lines that are no JSON": lambda entries: entries.update({"documents.jsonl": b"nonsense\n"}),
    "a document of another base": _line(lambda line: line["record"].update(base_id="other")),
    "an id that is none": _line(lambda line: line["record"].update(id="../x")),
    "a status that is none": _line(lambda line: line["record"].update(status="root")),
    "a label that is a number": _line(lambda line: line["record"].update(label=7)),
    "a negative size": _line(lambda line: line["record"].update(size_bytes=-1)),
    "a missing field": _line(lambda line: line["record"].pop("path") and None),
    "chunks that overlap": _line(lambda line: line["chunks"][0].update(start=1)),
    "a sentence outside": _line(lambda line: line["chunks"][0].update(sentences=[[0, 10**6]])),
    "a term with a space": _line(lambda line: line["chunks"][0].update(terms=["a b"])),
    "an embedder that is none": _line(lambda line: line["chunks"][0].update(vectors=[5])),
    "an embedder twice": _line(lambda line: line["chunks"][0].update(vectors=[0, 0])),
    "blocks beyond the text": _line(
        lambda line: line.update(blocks=[["paragraph", 0, None, 10**9]])
    ),
    "a block kind that is none": _line(lambda line: line["blocks"][0].__setitem__(0, "script")),
    "half a character": _line(lambda line: line["record"].update(title="\ud800")),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_archive_is_refused_whole(exported: Path, tmp_path: Path, change: Change) -> None:
    other = library(tmp_path / "other")
    with pytest.raises(InputError):
        other.import_(_rewritten(exported, change), Context())
    assert other.bases(Context()) == []


def test_a_changed_entry_is_noticed_by_its_hash(exported: Path, tmp_path: Path) -> None:
    def change(entries: dict[str, bytes]) -> None:
        entries["documents.jsonl"] = entries["documents.jsonl"].replace(b"banyan", b"baobab")

    with pytest.raises(InputError, match="not what the manifest says"):
        library(tmp_path / "other").import_(_rewritten(exported, change, rehash=False), Context())


def test_a_bomb_is_refused_before_it_is_unpacked(exported: Path, tmp_path: Path) -> None:
    def change(entries: dict[str, bytes]) -> None:
        entries["vectors-0.bin"] = b"\0" * 20_000_000

    with pytest.raises(LimitExceeded, match="MAX_EXPANSION"):
        library(tmp_path / "other").import_(_rewritten(exported, change), Context())


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 torn"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError):
        library(tmp_path / "other").import_(tmp_path / "file", Context())
    with pytest.raises(InputError):
        library(tmp_path / "other").import_(tmp_path / "missing", Context())


def test_a_truncated_archive_is_refused(exported: Path, tmp_path: Path) -> None:
    data = exported.read_bytes()
    for size in np.linspace(0, len(data) - 1, 7).astype(int):
        exported.write_bytes(data[:size])
        with pytest.raises(InputError):
            library(tmp_path / "other").import_(exported, Context())
