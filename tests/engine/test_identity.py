"""A checkpoint is known by what is in it, however often it is asked and wherever it lies."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from tests.engine.toy import write_toy

from banyan.core.errors import CheckpointInvalid
from banyan.engine import identity
from banyan.engine.identity import identify


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_toy(tmp_path / "toy")


def test_a_copy_under_another_name_is_the_same(checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint, tmp_path / "copy")
    one, other = identify(checkpoint, "a"), identify(tmp_path / "copy", "b")
    assert one.digest == other.digest
    assert one.size_bytes == other.size_bytes > 0


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_one_changed_byte_makes_another(checkpoint: Path, name: str) -> None:
    before = identify(checkpoint, "toy")
    file = checkpoint / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert identify(checkpoint, "toy").digest != before.digest


def test_what_is_beside_the_weights_does_not_count(checkpoint: Path) -> None:
    before = identify(checkpoint, "toy")
    (checkpoint / "README.md").write_text("hello", encoding="utf-8")
    assert identify(checkpoint, "toy") == before


def test_a_file_is_read_again_only_when_it_has_changed(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identify(checkpoint, "toy", tmp_path / "cache")
    monkeypatch.setattr(identity, "CHUNK_BYTES", -1)  # a read would end at once with nothing
    assert identify(checkpoint, "toy", tmp_path / "cache") == before
    monkeypatch.undo()
    file = checkpoint / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(1, 1))
    assert identify(checkpoint, "toy", tmp_path / "cache").digest != before.digest


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", "7", json.dumps({"x": 1}), "\x00", '{"a": [1, 2]}'], ids=repr
)
def test_a_damaged_cache_costs_time_and_nothing_else(
    checkpoint: Path, tmp_path: Path, content: str
) -> None:
    (tmp_path / "digests.json").write_text(content, encoding="utf-8")
    assert identify(checkpoint, "toy", tmp_path) == identify(checkpoint, "toy")


def test_a_damaged_entry_of_the_cache_is_not_believed(checkpoint: Path, tmp_path: Path) -> None:
    before = identify(checkpoint, "toy", tmp_path)
    cache = tmp_path / "digests.json"
    entries = json.loads(cache.read_text(encoding="utf-8"))
    for wrong in (3, [1], None, {}):
        cache.write_text(json.dumps(dict.fromkeys(entries, wrong)), encoding="utf-8")
        assert identify(checkpoint, "toy", tmp_path) == before


def test_a_folder_without_weights_has_no_identity(tmp_path: Path) -> None:
    with pytest.raises(CheckpointInvalid, match="holds neither"):
        identify(tmp_path, "toy")
