from __future__ import annotations

import os
from pathlib import Path

from tests.knowledge.factory import page

from banyan.core.context import Context
from banyan.knowledge.parse.limits import ParseLimits
from banyan.knowledge.parse.parse import Parser
from banyan.knowledge.sources import FileSource, GivenSource, path_text, walk


def _file(path: Path, text: str = "text") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_folder_is_walked_in_order_without_hidden_names(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a/y.txt", ".git/config", "a/.secret", "c/d/e.txt"):
        _file(tmp_path / name)
    found = [path.relative_to(tmp_path).as_posix() for path in walk([tmp_path])]
    assert found == ["b.txt", "a/y.txt", "a/z.txt", "c/d/e.txt"]


def test_each_file_comes_once_and_what_is_named_comes_whatever_it_is(tmp_path: Path) -> None:
    one = _file(tmp_path / "one.txt")
    hidden = _file(tmp_path / ".named")
    found = list(walk([one, tmp_path, hidden, tmp_path / "missing"]))
    assert found == [one, hidden, tmp_path / "missing"]


def test_a_name_in_another_encoding_becomes_text(tmp_path: Path) -> None:
    (tmp_path / "café.txt").touch()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).touch()
    shown = {path_text(path).rpartition("/")[2] for path in walk([tmp_path])}
    assert shown == {"café.txt", "caf\\xe9.txt"}


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    _file(tmp_path / "real" / "one.txt")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real")
    assert len(list(walk([tmp_path]))) == 1


def _fingerprint(path: Path, limit_bytes: int = 100) -> str:
    parser = Parser(ParseLimits())
    source = FileSource(path=str(path), file=path, parser=parser, limit_bytes=limit_bytes)
    return source.fingerprint(Context()).sha256


def test_the_fingerprint_follows_the_content_alone(tmp_path: Path) -> None:
    one, same = _file(tmp_path / "one"), _file(tmp_path / "same")
    other = _file(tmp_path / "other", "else")
    assert _fingerprint(one) == _fingerprint(same) != _fingerprint(other)


def test_what_the_parser_will_refuse_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for ever
    (tmp_path / "link").symlink_to(_file(tmp_path / "one"))
    large = _file(tmp_path / "large", "x" * 101)
    for path in (tmp_path / "pipe", tmp_path / "link", large, tmp_path / "missing"):
        assert _fingerprint(path) == ""


def test_a_given_document_is_known_by_all_that_is_in_it() -> None:
    def fingerprint(title: str, *paragraphs: str) -> str:
        source = GivenSource(path="p", given=page(title, *paragraphs))
        return source.fingerprint(Context()).sha256

    assert fingerprint("A", "x") == fingerprint("A", "x")
    assert len({fingerprint("A", "x"), fingerprint("B", "x"), fingerprint("A", "x", "y")}) == 3
