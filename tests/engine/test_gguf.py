"""Reading GGUF: what the ``gguf`` package writes, and files that are damaged or lie."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.gguf_writer import write_gguf

from banyan.core.errors import CheckpointInvalid, ModelError, UnsupportedModel
from banyan.engine.gguf import GgufFile
from banyan.engine.model import load_model

ALIGNMENT = 32


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "small.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint32("a.number", 7)
    writer.add_float32("a.fraction", 0.5)
    writer.add_bool("a.flag", True)
    writer.add_string("a.text", "Banyan 榕树")
    writer.add_array("a.strings", ["", "one", "二"])
    writer.add_array("a.numbers", [1, 2, 300])
    writer.add_tensor("plain", np.arange(6, dtype=np.float32).reshape(2, 3))
    writer.add_tensor(
        "blocks",
        gguf.quants.quantize(np.ones((4, 64), np.float32), gguf.GGMLQuantizationType.Q8_0),
        raw_dtype=gguf.GGMLQuantizationType.Q8_0,
    )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def craft(
    path: Path, *, tensors: bytes = b"", entries: bytes = b"", counts: tuple[int, int], version=3
) -> Path:
    """A GGUF file of hand-made parts: ``counts`` of tensors and of metadata entries."""
    header = b"GGUF" + struct.pack("<IQQ", version, *counts) + entries + tensors
    path.write_bytes(header + bytes(-len(header) % ALIGNMENT) + bytes(256))
    return path


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def tensor_info(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    shape_bytes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + shape_bytes + struct.pack("<IQ", kind, offset)


def test_metadata_and_tensors_come_back_as_they_were_written(small):
    file = GgufFile(small)
    assert file["a.number"] == 7
    assert file["a.fraction"] == 0.5
    assert file["a.flag"] is True
    assert file["a.text"] == "Banyan 榕树"
    assert file["a.strings"] == ["", "one", "二"]
    assert file["a.numbers"] == [1, 2, 300]
    assert "a.missing" not in file
    assert file.tensors["plain"].shape == (2, 3)
    assert file.tensors["blocks"].shape == (4, 64)
    assert file.tensors["blocks"].data.shape == (4, 2 * 34)
    np.testing.assert_array_equal(file.tensors["plain"].data.view(np.float32)[1], [3, 4, 5])


@pytest.mark.parametrize(
    ("counts", "what"),
    [((2**60, 0), "tensors"), ((0, 2**60), "metadata entries"), ((2**64 - 1, 1), "tensors")],
)
def test_a_count_that_cannot_be_true_is_refused_before_anything_is_read(tmp_path, counts, what):
    with pytest.raises(CheckpointInvalid, match=what):
        GgufFile(craft(tmp_path / "x.gguf", counts=counts))


@pytest.mark.parametrize("length", [2**20, 2**63, 2**64 - 1])
def test_a_string_longer_than_the_file_is_refused(tmp_path, length):
    entries = text("key") + struct.pack("<IQ", 8, length)
    with pytest.raises(CheckpointInvalid, match="key"):
        GgufFile(craft(tmp_path / "x.gguf", entries=entries, counts=(0, 1)))


@pytest.mark.parametrize("kind", [0, 8, 10])
@pytest.mark.parametrize("count", [10_000, 2**62, 2**64 - 1])
def test_an_array_longer_than_the_file_is_refused(tmp_path, kind, count):
    entries = text("list") + struct.pack("<IIQ", 9, kind, count)
    with pytest.raises(CheckpointInvalid, match="list"):
        GgufFile(craft(tmp_path / "x.gguf", entries=entries, counts=(0, 1)))


@pytest.mark.parametrize("length", [2**20, 2**63, 2**64 - 1])
def test_an_array_of_strings_that_leave_the_file_is_refused(tmp_path, length):
    entries = text("list") + struct.pack("<IIQ", 9, 8, 2) + struct.pack("<Q", length)
    with pytest.raises(CheckpointInvalid, match="list"):
        GgufFile(craft(tmp_path / "x.gguf", entries=entries, counts=(0, 1)))


def test_arrays_of_arrays_and_unknown_types_are_refused(tmp_path):
    nested = text("list") + struct.pack("<IIQ", 9, 9, 1)
    unknown = text("what") + struct.pack("<I", 99)
    for entries in (nested, unknown):
        with pytest.raises(CheckpointInvalid, match="type"):
            GgufFile(craft(tmp_path / "x.gguf", entries=entries, counts=(0, 1)))


@pytest.mark.parametrize(
    ("shape", "offset"), [((8, 8), 2**40), ((2**40, 2**40), 0), ((2**63, 1), 0), ((64, 2), 3)]
)
def test_a_tensor_outside_the_file_is_refused_by_name(tmp_path, shape, offset):
    tensors = tensor_info("blk.0.far", shape, 0, offset)
    with pytest.raises(CheckpointInvalid, match=r"blk\.0\.far"):
        GgufFile(craft(tmp_path / "x.gguf", tensors=tensors, counts=(1, 0)))


@pytest.mark.parametrize("shape", [(), (0, 4), (1, 1, 1, 1, 1)])
def test_a_tensor_of_an_impossible_shape_is_refused_by_name(tmp_path, shape):
    tensors = tensor_info("odd", shape, 0, 0)
    with pytest.raises(CheckpointInvalid, match="odd"):
        GgufFile(craft(tmp_path / "x.gguf", tensors=tensors, counts=(1, 0)))


def test_rows_that_do_not_divide_into_blocks_are_refused(tmp_path):
    tensors = tensor_info("ragged", (16, 4), 8, 0)
    with pytest.raises(CheckpointInvalid, match="ragged"):
        GgufFile(craft(tmp_path / "x.gguf", tensors=tensors, counts=(1, 0)))


def test_a_number_format_that_is_not_read_is_named_with_the_ones_that_are(tmp_path):
    tensors = tensor_info("blk.0.ffn_up.weight", (256,), 16, 0)
    with pytest.raises(UnsupportedModel, match=r"blk\.0\.ffn_up\.weight") as failure:
        GgufFile(craft(tmp_path / "x.gguf", tensors=tensors, counts=(1, 0)))
    assert "Q4_K" in failure.value.remedy


def test_a_repeated_tensor_or_key_is_refused(tmp_path):
    tensors = tensor_info("twin", (8,), 0, 0) * 2
    with pytest.raises(CheckpointInvalid, match="twice"):
        GgufFile(craft(tmp_path / "x.gguf", tensors=tensors, counts=(2, 0)))
    entries = (text("key") + struct.pack("<IB", 0, 1)) * 2
    with pytest.raises(CheckpointInvalid, match="twice"):
        GgufFile(craft(tmp_path / "x.gguf", entries=entries, counts=(0, 2)))


@pytest.mark.parametrize("version", [1, 4, 3 << 24])
def test_another_version_or_byte_order_is_said_to_be_unsupported(tmp_path, version):
    with pytest.raises(UnsupportedModel, match="version"):
        GgufFile(craft(tmp_path / "x.gguf", counts=(0, 0), version=version))


def test_what_is_no_gguf_file_is_refused(tmp_path):
    for content in (b"", b"GGU", b"GGUF", b"PK\x03\x04 something else"):
        path = tmp_path / "x.gguf"
        path.write_bytes(content)
        with pytest.raises(CheckpointInvalid):
            GgufFile(path)
    with pytest.raises(CheckpointInvalid):
        GgufFile(tmp_path / "absent.gguf")


@pytest.fixture(scope="session")
def whole(tiny, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    target = tmp_path_factory.mktemp("whole") / "tiny.gguf"
    return write_gguf(tiny("llama"), target, gguf.GGMLQuantizationType.Q8_0).read_bytes()


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_damage_brings_more_than_a_typed_error(whole, tmp_path, data):
    content = bytearray(whole)
    described = 6000  # header, metadata and tensor list lie before
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, described))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    path = tmp_path / "damaged.gguf"
    path.write_bytes(content[:cut])
    with contextlib.suppress(ModelError):
        load_model(path, "fp32", 1)
