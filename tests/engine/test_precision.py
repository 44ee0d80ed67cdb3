"""What auto becomes, by what a checkpoint is stored in and how much memory there is."""

from __future__ import annotations

import gguf
import pytest
from tests.engine.gguf_writer import write_gguf

from banyan.engine import config as config_module
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.config import EngineConfig
from banyan.engine.model import load_model
from banyan.engine.precision import agreed, is_four_bit, resolved

KIND = gguf.GGMLQuantizationType
SMALL = EngineConfig(kv_cache_bytes=1)


@pytest.fixture
def fast_bf16(monkeypatch, tmp_path):
    """A processor that multiplies bf16."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags : amx_bf16")
    has = config_module.has_fast_bf16
    monkeypatch.setattr(config_module, "has_fast_bf16", lambda: has(cpuinfo))


@pytest.mark.parametrize(
    ("kind", "four_bit"),
    [(KIND.F32, False), (KIND.Q8_0, False), (KIND.Q4_0, True), (KIND.Q4_1, True)],
)
def test_a_file_is_four_bit_when_most_of_its_layers_are(tiny, tmp_path, kind, four_bit):
    path = write_gguf(tiny("llama"), tmp_path / "x.gguf", kind)
    assert is_four_bit(open_checkpoint(path)) is four_bit


def test_experts_count_among_the_layers(tiny, tmp_path):
    path = write_gguf(tiny("qwen3-moe"), tmp_path / "x.gguf", KIND.Q4_0)
    assert is_four_bit(open_checkpoint(path))
    assert not is_four_bit(open_checkpoint(tiny("qwen3-moe")))


def test_the_copy_is_kept_where_it_takes_at_most_half_of_the_memory(fast_bf16, tiny, tmp_path):
    checkpoint = open_checkpoint(write_gguf(tiny("llama"), tmp_path / "x.gguf", KIND.Q4_0))
    plain = load_model(tmp_path / "x.gguf", "packed", 1)
    with_copy = load_model(tmp_path / "x.gguf", "packed", 1, packed_copy=True)
    assert with_copy.size_bytes > 2 * plain.size_bytes
    for memory, copy in ((with_copy.size_bytes, False), (3 * with_copy.size_bytes, True)):
        chosen = resolved(SMALL, checkpoint, memory)
        assert (chosen.precision, chosen.packed_copy) == ("packed", copy)
    chosen = resolved(EngineConfig(kv_cache_bytes=3 * with_copy.size_bytes), checkpoint, memory)
    assert (chosen.precision, chosen.packed_copy) == ("packed", False)


def test_ranks_agree_on_what_every_host_can_do(fast_bf16, tiny, tmp_path):
    checkpoint = open_checkpoint(write_gguf(tiny("llama"), tmp_path / "x.gguf", KIND.Q4_0))
    size = load_model(tmp_path / "x.gguf", "packed", 1, packed_copy=True).size_bytes

    def chosen(*hosts: tuple[str, int]) -> tuple[str, bool, int]:
        config = agreed(SMALL, checkpoint, hosts)
        return config.precision, config.packed_copy, config.threads

    assert chosen(("cpu", 2 * size), ("cpu", 2 * size)) == ("packed", True, 0)
    assert chosen(("cpu", 9 * size), ("cpu", size // 2)) == ("packed", False, 0)
    assert chosen(("cpu", 9 * size), ("cuda:0", 9 * size)) == ("bf16", False, 0)


def test_auto_loads_a_four_bit_file_packed_and_another_in_bf16(fast_bf16, tiny, tmp_path):
    path = write_gguf(tiny("llama"), tmp_path / "x.gguf", KIND.Q4_0)
    packed, bf16 = load_model(path, "packed", 1, packed_copy=True), load_model(path, "bf16", 1)
    assert load_model(path, "auto", 1).size_bytes == packed.size_bytes != bf16.size_bytes
    folder = tiny("llama")
    assert load_model(folder, "auto", 1).size_bytes == load_model(folder, "bf16", 1).size_bytes
