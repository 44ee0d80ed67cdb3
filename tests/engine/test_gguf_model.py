"""Tiny checkpoints written as GGUF: the same logits as the folder they were made from."""

from __future__ import annotations

import gguf
import pytest
import torch
from tests.engine.gguf_writer import write_gguf

from banyan.core.errors import CheckpointInvalid, UnsupportedModel
from banyan.engine import gguf_model, reference
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.gguf import GgufFile
from banyan.engine.model import load_model

F32, Q8_0 = gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.Q8_0
Q4_0 = gguf.GGMLQuantizationType.Q4_0
TOKENS = [int(token) for token in torch.randint(3, 160, (40,), generator=torch.manual_seed(2))]
FAMILIES = [
    "llama",
    "llama-mha-tied-biased",
    "llama-linear",
    "llama-yarn",
    "llama-3",
    "mistral",
    "mixtral",
    "mixtral-sliding",
    "qwen2",
    "qwen3",
    "qwen3-moe",
    "qwen3-moe-sliding",
    "gemma3-six-layers",
]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_gguf_of_a_family_computes_what_its_folder_does(tiny, tmp_path, family):
    folder = tiny(family)
    path = write_gguf(folder, tmp_path / "tiny.gguf", F32)
    ours = reference.logits(load_model(path, "fp32", 1), TOKENS)
    theirs = reference.logits(load_model(folder, "fp32", 1), TOKENS)
    assert (ours - theirs).abs().max() <= 1e-4


def test_a_quantised_gguf_is_near_its_folder(tiny, tmp_path):
    folder = tiny("qwen3")
    path = write_gguf(folder, tmp_path / "tiny.gguf", Q8_0)
    ours = reference.logits(load_model(path, "fp32", 1), TOKENS)
    theirs = reference.logits(load_model(folder, "fp32", 1), TOKENS)
    assert 0 < (ours - theirs).abs().max() < 0.1 * theirs.std()


def test_an_old_gguf_with_a_tensor_for_each_expert_computes_the_same(tiny, tmp_path):
    folder = tiny("mixtral")
    path = write_gguf(folder, tmp_path / "tiny.gguf", F32, experts_apart=True)
    assert "blk.0.ffn_gate.4.weight" in GgufFile(path).tensors
    ours = reference.logits(load_model(path, "fp32", 1), TOKENS)
    theirs = reference.logits(load_model(folder, "fp32", 1), TOKENS)
    assert (ours - theirs).abs().max() <= 1e-4


@pytest.mark.parametrize("family", ["mixtral", "qwen3-moe"])
def test_quantised_experts_stay_quantised_and_near_their_folder(tiny, tmp_path, family):
    folder = tiny(family)
    path = write_gguf(folder, tmp_path / "tiny.gguf", Q4_0)
    model, exact = load_model(path, "packed", 1), load_model(folder, "fp32", 1)
    ours, theirs = reference.logits(model, TOKENS), reference.logits(exact, TOKENS)
    assert 0 < (ours - theirs).abs().mean() < 0.3 * theirs.std()
    with model.weights.layer(0) as packed, exact.weights.layer(0) as dense:
        assert packed.ffn.size_bytes < 0.25 * dense.ffn.size_bytes


def test_an_experts_matrices_are_views_of_the_file(tiny, tmp_path):
    path = write_gguf(tiny("qwen3-moe"), tmp_path / "tiny.gguf", Q4_0)
    stack = GgufFile(path).tensors["blk.1.ffn_up_exps.weight"]
    apart = open_checkpoint(path).tensors
    for number in range(6):
        tensor = apart[f"layers.1.experts.{number}.up.weight"]
        assert tensor.shape == stack.shape[1:]
        assert not tensor.data.flags.owndata
        rows = slice(number * tensor.shape[0], (number + 1) * tensor.shape[0])
        assert (tensor.data == stack.data[rows]).all()


def test_a_stack_of_another_number_of_experts_is_refused(tiny, tmp_path):
    path = write_gguf(tiny("mixtral"), tmp_path / "tiny.gguf", F32)
    with pytest.raises(CheckpointInvalid, match=r"ffn_\w+_exps.*there are 4 experts"):
        gguf_model.experts_apart(GgufFile(path).tensors, 4)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("expert_shared_count", 1),
        ("expert_gating_func", 2),
        ("expert_weights_scale", 2.5),
        ("leading_dense_block_count", 1),
        ("expert_group_count", 2),
    ],
)
def test_experts_of_other_kinds_are_refused_by_name(tiny, tmp_path, key, value):
    extra = {f"qwen3moe.{key}": value}
    path = write_gguf(tiny("qwen3-moe"), tmp_path / "tiny.gguf", F32, extra=extra)
    with pytest.raises(UnsupportedModel, match=key):
        open_checkpoint(path)


def test_a_family_without_experts_is_refused_with_them(tiny, tmp_path):
    path = write_gguf(tiny("qwen3"), tmp_path / "x.gguf", F32, extra={"qwen3.expert_count": 4})
    with pytest.raises(UnsupportedModel, match="expert_count"):
        open_checkpoint(path)


@pytest.mark.parametrize("count", [2**31, 5])
def test_a_number_of_experts_that_is_not_true_is_refused(tiny, tmp_path, count):
    extra = {"qwen3moe.expert_count": count}
    path = write_gguf(tiny("qwen3-moe"), tmp_path / "x.gguf", F32, extra=extra)
    with pytest.raises(CheckpointInvalid, match=f"{count} experts"):
        open_checkpoint(path)
