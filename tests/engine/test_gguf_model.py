"""Tiny checkpoints written as GGUF: the same logits as the folder they were made from."""

from __future__ import annotations

import gguf
import pytest
import torch
from tests.engine.gguf_writer import write_gguf

from banyan.engine import reference
from banyan.engine.model import load_model

F32, Q8_0 = gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.Q8_0
TOKENS = [int(token) for token in torch.randint(3, 160, (40,), generator=torch.manual_seed(2))]
FAMILIES = [
    "llama",
    "llama-mha-tied-biased",
    "llama-linear",
    "llama-yarn",
    "llama-3",
    "mistral",
    "qwen2",
    "qwen3",
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
