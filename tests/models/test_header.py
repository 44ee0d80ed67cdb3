"""A header is read as it is, and a lying one is refused without reading far."""

from __future__ import annotations

import json
import struct
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.gguf_bytes import gguf, pair, text

from banyan.core.errors import CheckpointInvalid
from banyan.engine.gguf_model import ARCHITECTURES
from banyan.engine.huggingface import FAMILIES
from banyan.models import header as header_module
from banyan.models.header import read_header


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_the_official_writers_file_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    writer = GGUFWriter(path, "gemma3")
    writer.add_name("Gemma")
    writer.add_license("gemma")
    writer.add_context_length(32768)
    writer.add_token_list(["a", "b"])
    writer.add_tensor("x", np.zeros(4, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = read_header(path)
    assert (header.architecture, header.context_length, header.kind) == ("gemma3", 32768, "chat")
    assert (header.title, header.licence) == ("Gemma", "gemma")
    assert header.size_bytes == path.stat().st_size


def test_arrays_before_the_facts_are_passed_over(tmp_path: Path) -> None:
    header = read_header(written(tmp_path / "m.gguf", gguf("llama", context=8192)))
    assert (header.architecture, header.context_length) == ("llama", 8192)


def test_a_file_that_names_no_context_has_none(tmp_path: Path) -> None:
    header = read_header(written(tmp_path / "m.gguf", gguf("bert", context=None)))
    assert (header.context_length, header.kind) == (None, "embedding")


HEAD = struct.pack("<4sIQQ", b"GGUF", 3, 0, 1 << 60)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GGUF",
        b"PK\x03\x04" + bytes(100),
        struct.pack("<4sIQQ", b"GGUF", 1, 0, 0),
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 0),
        HEAD,
        HEAD + struct.pack("<Q", 1 << 50) + b"key",
        HEAD + pair("a", 99, b""),
        HEAD + pair("a", 9, struct.pack("<IQ", 8, 1 << 60)),
        HEAD + pair("a", 9, struct.pack("<IQ", 9, 1 << 60)),
        HEAD + pair("a", 9, struct.pack("<IQ", 0, 1 << 60)),
        HEAD + pair("a", 8, struct.pack("<Q", 1 << 62) + b"x"),
    ],
)
def test_a_lying_file_is_refused_at_once(tmp_path: Path, data: bytes) -> None:
    began = time.monotonic()
    with pytest.raises(CheckpointInvalid):
        read_header(written(tmp_path / "m.gguf", data))
    assert time.monotonic() - began < 1


@given(st.integers(0, 400), st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_any_cut_or_changed_byte_gives_a_header_or_a_typed_error(place: int, value: int) -> None:
    whole = gguf("llama", title="t" * 100)
    changed = bytearray(whole)
    changed[place % len(whole)] = value
    for data in (whole[:place], bytes(changed)):
        header = read_or_none(data)
        assert header is None or header.architecture


def read_or_none(data: bytes) -> header_module.Header | None:
    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        file.write(data)
        file.flush()
        try:
            return read_header(Path(file.name))
        except CheckpointInvalid:
            return None


def test_metadata_without_end_is_stopped_at_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(header_module, "MAX_HEADER_BYTES", 1000)
    data = struct.pack("<4sIQQ", b"GGUF", 3, 0, 1000) + pair("key", 8, text("v" * 90)) * 1000
    with pytest.raises(CheckpointInvalid, match="MAX_HEADER_BYTES = 1000"):
        read_header(written(tmp_path / "m.gguf", data))


@pytest.mark.parametrize("config", ["", "[]", "{}", "nonsense", '{"model_type": ""}', "[" * 10_000])
def test_a_folder_with_a_broken_config_is_refused(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(CheckpointInvalid):
        read_header(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(CheckpointInvalid, match="safetensors"):
        read_header(tmp_path)


def test_a_multimodal_folder_takes_its_texts_context(tmp_path: Path) -> None:
    config = {"model_type": "gemma3", "text_config": {"max_position_embeddings": 131072}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"123")
    assert read_header(tmp_path).context_length == 131072


def test_what_is_said_to_run_is_what_the_engine_runs(tmp_path: Path) -> None:
    assert set(ARCHITECTURES) == header_module.GGUF_RUN
    assert {*FAMILIES, "bert"} == header_module.FOLDERS_RUN
    assert read_header(written(tmp_path / "m.gguf", gguf("llama"))).runs
    assert not read_header(written(tmp_path / "m.gguf", gguf("whisper"))).runs
