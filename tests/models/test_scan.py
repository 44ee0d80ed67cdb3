"""A scan finds what a person would call a model, and ends whatever the disk looks like."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.models.gguf_bytes import gguf

from banyan.core.context import Context
from banyan.core.errors import LimitExceeded, NotFound
from banyan.models import scan as scan_module
from banyan.models.scan import scan


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_files_and_folders_are_found_with_what_they_are(tmp_path: Path) -> None:
    file = put(tmp_path / "a" / "m.GGUF", gguf("llama"))
    put(tmp_path / "b" / "config.json", b'{"model_type": "qwen3"}')
    put(tmp_path / "b" / "model-00001-of-00002.safetensors", b"x")
    put(tmp_path / "c" / "notes.txt", b"nothing")
    found = list(scan(tmp_path, Context()))
    assert [item.path for item in found] == [file, tmp_path / "b"]
    assert [item.header.architecture for item in found if item.header] == ["llama", "qwen3"]


def test_a_broken_file_is_found_with_the_reason(tmp_path: Path) -> None:
    put(tmp_path / "m.gguf", b"rubbish")
    (found,) = scan(tmp_path, Context())
    assert found.header is None
    assert "header" in found.reason or "GGUF" in found.reason


def test_only_the_first_shard_of_a_split_file_is_a_model(tmp_path: Path) -> None:
    first = put(tmp_path / "m-00001-of-00002.gguf", gguf("llama"))
    put(tmp_path / "m-00002-of-00002.gguf", gguf("llama"))
    assert [item.path for item in scan(tmp_path, Context())] == [first]


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    put(tmp_path / "a" / "m.gguf", gguf("llama"))
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert len(list(scan(tmp_path, Context()))) == 1


def test_a_linked_folder_is_looked_into(tmp_path: Path) -> None:
    put(tmp_path / "disk" / "m.gguf", gguf("llama"))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "link").symlink_to(tmp_path / "disk")
    assert len(list(scan(tmp_path / "models", Context()))) == 1


def test_too_many_names_are_refused_by_the_limits_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_module, "MAX_SCAN_ENTRIES", 3)
    for number in range(5):
        put(tmp_path / str(number), b"")
    with pytest.raises(LimitExceeded, match="MAX_SCAN_ENTRIES = 3"):
        list(scan(tmp_path, Context()))


def test_folders_below_the_depth_limit_are_not_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_module, "MAX_SCAN_DEPTH", 1)
    put(tmp_path / "1" / "m.gguf", gguf("llama"))
    put(tmp_path / "1" / "2" / "m.gguf", gguf("llama"))
    assert [item.path.parent.name for item in scan(tmp_path, Context())] == ["1"]


def test_a_missing_folder_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        list(scan(tmp_path / "absent", Context()))
