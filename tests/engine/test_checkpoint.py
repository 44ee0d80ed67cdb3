"""Opening checkpoints: what is found where, and what is refused with which words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gguf
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.engine.gguf_writer import write_gguf

from banyan.core.errors import CheckpointInvalid, UnsupportedModel
from banyan.engine.checkpoint import find_gguf, open_checkpoint
from banyan.engine.model import load_model


@pytest.fixture
def folder(tiny, tmp_path) -> Path:
    """A copy of a tiny checkpoint that a test may damage."""
    return Path(shutil.copytree(tiny("llama"), tmp_path / "copy"))


def change(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_gguf_file_is_found_by_itself_and_in_its_folder(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    assert find_gguf(path) == find_gguf(tmp_path) == path
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    with pytest.raises(CheckpointInvalid, match="2 GGUF files"):
        find_gguf(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert find_gguf(tmp_path) is None


def test_what_holds_no_model_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "absent"):
        with pytest.raises(CheckpointInvalid):
            open_checkpoint(path)


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"model_type": "mamba2"}, UnsupportedModel, "mamba2"),
        ({"quantization_config": {"quant_method": "gptq"}}, UnsupportedModel, "gptq"),
        ({"hidden_act": "relu"}, UnsupportedModel, "relu"),
        ({"rope_parameters": {"rope_type": "longrope"}}, UnsupportedModel, "longrope"),
        ({"final_logit_softcapping": 30.0}, UnsupportedModel, "softcapping"),
        ({"num_hidden_layers": 2**40}, CheckpointInvalid, "layers"),
        ({"num_hidden_layers": 2}, CheckpointInvalid, r"layers\.2"),
        ({"num_hidden_layers": "three"}, CheckpointInvalid, "three"),
        ({"num_hidden_layers": 4}, CheckpointInvalid, r"layers\.3"),
        ({"intermediate_size": 95}, CheckpointInvalid, "gate"),
        ({"num_key_value_heads": 3}, CheckpointInvalid, "3 key-value heads"),
        ({"attention_bias": True}, CheckpointInvalid, "bias"),
        ({"num_attention_heads": 0}, CheckpointInvalid, "0 attention heads"),
    ],
)
def test_a_config_that_is_not_run_or_lies_is_refused(folder, values, error, words):
    change(folder, **values)
    with pytest.raises(error, match=words):
        load_model(folder, "fp32", 1)


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"mlp_only_layers": [1]}, UnsupportedModel, "mlp_only_layers"),
        ({"decoder_sparse_step": 2}, UnsupportedModel, "decoder_sparse_step"),
        ({"shared_expert_intermediate_size": 32}, UnsupportedModel, "shared_expert"),
        ({"n_shared_experts": 1}, UnsupportedModel, "n_shared_experts"),
        ({"mlp_bias": True}, UnsupportedModel, "experts have biases"),
        ({"num_experts": 7}, CheckpointInvalid, r"mlp\.gate.*\(6, 64\), not \(7, 64\)"),
        ({"num_experts": 5}, CheckpointInvalid, r"mlp\.gate.*\(6, 64\), not \(5, 64\)"),
        ({"num_experts": 2**40}, CheckpointInvalid, "1099511627776 experts"),
        ({"num_experts_per_tok": 7}, CheckpointInvalid, "7 of 6 experts"),
        ({"num_experts_per_tok": 0}, CheckpointInvalid, "0 of 6 experts"),
        ({"moe_intermediate_size": 32}, CheckpointInvalid, "up_proj|gate_proj"),
    ],
)
def test_experts_that_are_not_run_or_not_there_are_refused(tiny, tmp_path, values, error, words):
    folder = Path(shutil.copytree(tiny("qwen3-moe"), tmp_path / "copy"))
    change(folder, num_local_experts=None)
    change(folder, **{"num_experts": 6, **values})
    with pytest.raises(error, match=words):
        load_model(folder, "fp32", 1)


def test_layers_that_are_not_there_may_be_said_to_have_no_experts(tiny, tmp_path):
    folder = Path(shutil.copytree(tiny("qwen3-moe"), tmp_path / "copy"))
    change(folder, mlp_only_layers=[17])
    assert load_model(folder, "fp32", 1).config.experts == 6


def test_a_missing_shard_is_named(folder):
    lost = sorted(folder.glob("*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(CheckpointInvalid, match=lost.name):
        open_checkpoint(folder)


def test_a_tensor_that_has_no_place_is_never_left_out_silently(folder):
    shard = next(iter(sorted(folder.glob("*.safetensors"))))
    index = folder / "model.safetensors.index.json"
    places = json.loads(index.read_text())
    tensors = load_file(shard)
    for name, error in (
        ("model.layers.0.mlp.router.weight", UnsupportedModel),
        ("model.layers.0.self_attn.q_norm.weight", CheckpointInvalid),
    ):
        save_file({**tensors, name: torch.ones(4)}, shard)
        index.write_text(json.dumps({"weight_map": {**places["weight_map"], name: shard.name}}))
        with pytest.raises(error, match=r"router|q_norm"):
            load_model(folder, "fp32", 1)


def test_loading_reads_tensors_that_old_checkpoints_repeat(folder):
    shard = next(iter(sorted(folder.glob("*.safetensors"))))
    index = folder / "model.safetensors.index.json"
    places = json.loads(index.read_text())["weight_map"]
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    save_file({**load_file(shard), name: torch.ones(4)}, shard)
    index.write_text(json.dumps({"weight_map": {**places, name: shard.name}}))
    assert load_model(folder, "fp32", 1).config.layers == 3


def test_a_gguf_of_another_architecture_or_with_experts_is_refused(tiny, tmp_path):
    path = write_gguf(tiny("llama"), tmp_path / "x.gguf", gguf.GGMLQuantizationType.F32)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0bloom", 1))
    with pytest.raises(UnsupportedModel, match="bloom"):
        open_checkpoint(path)
    path.write_bytes(content.replace(b"llama.block_count", b"llama.block_cxxxx", 1))
    with pytest.raises(CheckpointInvalid, match="block_count"):
        open_checkpoint(path)


def test_opening_reads_no_weights(tiny):
    checkpoint = open_checkpoint(tiny("llama"))
    assert all(not tensor.data.flags.owndata for tensor in checkpoint.tensors.values())
