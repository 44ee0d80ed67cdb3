"""Engine choices and how "auto" becomes a fact."""

from __future__ import annotations

import subprocess
import sys

import pytest

from banyan.core.errors import CheckpointInvalid, InputError
from banyan.engine.config import (
    EncoderConfig,
    EngineConfig,
    ModelConfig,
    RopeConfig,
    available_cores,
    has_fast_bf16,
)

MODEL = {
    "family": "llama",
    "layers": 2,
    "hidden": 8,
    "ffn": 16,
    "heads": 4,
    "kv_heads": 2,
    "head_dim": 2,
    "vocab": 10,
    "norm_eps": 1e-5,
    "activation": "silu",
    "attention_scale": 1.0,
    "ropes": (RopeConfig(),),
    "layer_ropes": (0, 0),
    "windows": (None, None),
    "context_length": 64,
}


def test_auto_is_bf16_where_the_processor_has_it_and_fp32_elsewhere():
    assert EngineConfig().resolve(bf16_is_fast=True).precision == "bf16"
    assert EngineConfig().resolve(bf16_is_fast=False).precision == "fp32"
    assert EngineConfig(precision="packed").resolve(bf16_is_fast=False).precision == "packed"


def test_auto_packs_a_four_bit_file_where_bf16_is_fast_with_a_copy_if_that_fits():
    for fits in (False, True):
        chosen = EngineConfig().resolve(bf16_is_fast=True, four_bit=True, copy_fits=fits)
        assert (chosen.precision, chosen.packed_copy) == ("packed", fits)
    slow = EngineConfig().resolve(bf16_is_fast=False, four_bit=True, copy_fits=True)
    assert (slow.precision, slow.packed_copy) == ("fp32", False)
    card = EngineConfig(device="cuda:0").resolve(four_bit=True, copy_fits=True)
    assert (card.precision, card.packed_copy) == ("bf16", False)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "packed"])
def test_a_precision_that_was_named_stays_whatever_the_file_is(precision):
    chosen = EngineConfig(precision=precision).resolve(
        bf16_is_fast=True, four_bit=True, copy_fits=True
    )
    assert (chosen.precision, chosen.packed_copy) == (precision, False)


def test_packed_weights_on_a_card_are_refused():
    with pytest.raises(InputError, match="not by cards"):
        EngineConfig(precision="packed", device="cuda:1").resolve()


def test_no_threads_named_means_every_core_and_a_number_stays():
    assert EngineConfig().resolve().threads == available_cores() >= 1
    assert EngineConfig(threads=3).resolve().threads == 3


@pytest.mark.parametrize(
    ("flags", "fast"),
    [("fpu avx2", False), ("fpu amx_bf16", True), ("avx512f avx512_bf16", True), ("", False)],
)
def test_bf16_is_read_from_the_processors_flags(tmp_path, flags, fast):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor: 0\nflags\t\t: {flags}\n")
    assert has_fast_bf16(cpuinfo) is fast


def test_a_machine_that_does_not_tell_has_no_fast_bf16(tmp_path):
    assert has_fast_bf16(tmp_path / "absent") is False


@pytest.mark.parametrize(
    "values",
    [{"precision": "fp64"}, {"threads": -1}, {"page_size": 0}, {"max_batch_tokens": -4}],
)
def test_a_choice_that_makes_no_sense_is_refused(values):
    with pytest.raises(InputError):
        EngineConfig(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"layers": 0},
        {"kv_heads": 3},
        {"head_dim": 3},
        {"windows": (None,)},
        {"layer_ropes": (0, 0, 0)},
        {"vocab": -1},
    ],
)
def test_an_architecture_that_contradicts_itself_is_refused(values):
    with pytest.raises(CheckpointInvalid):
        ModelConfig(**{**MODEL, **values})


def test_an_encoder_whose_heads_do_not_divide_it_is_refused():
    sizes = {"layers": 1, "ffn": 8, "vocab": 8, "positions": 8, "norm_eps": 1e-5}
    with pytest.raises(CheckpointInvalid):
        EncoderConfig(hidden=10, heads=4, **sizes)


def test_configuring_needs_no_torch():
    code = "import sys, banyan.engine.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
