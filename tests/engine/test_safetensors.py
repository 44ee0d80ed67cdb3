"""Reading safetensors: what the official package writes, and files that are damaged or lie."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from banyan.core.errors import CheckpointInvalid, ModelError, UnsupportedModel
from banyan.engine.dequantise import dequantise
from banyan.engine.safetensors import read_file, read_folder


def craft(path: Path, header: object, body: bytes = bytes(64), length: int | None = None) -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + body)
    return path


def entry(dtype: str = "F32", shape: object = (4, 4), offsets: object = (0, 64)) -> object:
    return {"w": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_tensors_come_back_as_they_were_written(tmp_path, dtype):
    numbers = torch.randn(3, 5, generator=torch.manual_seed(1)).to(dtype)
    one, none = torch.tensor(2.0, dtype=dtype), torch.arange(3)
    save_file({"w": numbers, "scalar": one, "ids": none}, tmp_path / "model.safetensors")
    tensors = read_folder(tmp_path)
    assert set(tensors) == {"w", "scalar"}
    assert torch.equal(dequantise(tensors["w"], dtype), numbers)
    assert dequantise(tensors["scalar"]).item() == 2.0


def test_shards_are_read_through_their_index(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "one.safetensors")
    save_file({"b": torch.zeros(2), "c": torch.arange(2)}, tmp_path / "two.safetensors")
    places = {"a": "one.safetensors", "b": "two.safetensors", "c": "two.safetensors"}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    assert set(read_folder(tmp_path)) == {"a", "b"}
    index.write_text(json.dumps({"weight_map": {**places, "missing": "one.safetensors"}}))
    with pytest.raises(CheckpointInvalid, match="missing"):
        read_folder(tmp_path)


@pytest.mark.parametrize("place", ["../one.safetensors", "/etc/passwd", "sub/one.safetensors"])
def test_an_index_may_not_point_outside_its_folder(tmp_path, place):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": place}}))
    with pytest.raises(CheckpointInvalid, match="outside"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        entry(offsets=[0, 65]),
        entry(offsets=[-4, 60]),
        entry(offsets=[64, 0]),
        entry(offsets=[0]),
        entry(offsets=[0, 60]),
        entry(shape=[2**40, 2**40]),
        entry(shape=[-4, -4]),
        entry(shape="4"),
        {"w": 3},
        {"w": {}},
        [],
        b"{",
        b"[" * 5000,
        b"\xff\xfe",
    ],
)
def test_a_lying_header_is_refused(tmp_path, header):
    with pytest.raises(CheckpointInvalid):
        read_file(craft(tmp_path / "x.safetensors", header))


@pytest.mark.parametrize("length", [2**20, 2**63, 2**64 - 1])
def test_a_header_longer_than_the_file_is_refused(tmp_path, length):
    with pytest.raises(CheckpointInvalid, match="header"):
        read_file(craft(tmp_path / "x.safetensors", entry(), length=length))


def test_another_number_type_is_said_to_be_unsupported(tmp_path):
    with pytest.raises(UnsupportedModel, match="F8_E4M3"):
        read_file(craft(tmp_path / "x.safetensors", entry("F8_E4M3", [64])))


def test_an_absent_or_empty_file_is_refused(tmp_path):
    with pytest.raises(CheckpointInvalid):
        read_folder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointInvalid):
        read_folder(tmp_path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(0, 120), value=st.integers(0, 255), cut=st.integers(0, 200))
def test_no_damage_brings_more_than_a_typed_error(tmp_path, place, value, cut):
    path = tmp_path / "x.safetensors"
    save_file({"w": torch.ones(2, 4), "v": torch.ones(3)}, path)
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content[: len(content) - cut % 40])
    with contextlib.suppress(ModelError):
        read_file(path)
