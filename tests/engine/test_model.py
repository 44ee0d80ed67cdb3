"""The forward pass, compared with ``transformers`` on tiny random checkpoints of every family."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from banyan.engine import reference
from banyan.engine.batch import Batch, OneRank, Span
from banyan.engine.kv import CacheSize, PagedKV
from banyan.engine.model import Model, load_model

TOKENS = [int(token) for token in torch.randint(3, 160, (40,), generator=torch.manual_seed(1))]
FAMILIES = [
    "llama",
    "llama-mha-tied-biased",
    "llama-linear",
    "llama-dynamic",
    "llama-yarn",
    "llama-3",
    "mistral",
    "qwen2",
    "qwen2-sliding",
    "mixtral",
    "mixtral-sliding",
    "qwen3",
    "qwen3-moe",
    "qwen3-moe-sliding",
    "gemma3",
    "gemma3-six-layers",
]


def expected_logits(folder: Path, ids: list[int]) -> Tensor:
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_equal_those_of_transformers_beyond_window_and_original_context(tiny, family):
    folder = tiny(family)
    assert len(list(folder.glob("*.safetensors"))) > 1
    model = load_model(folder, "fp32", 1)
    ours, theirs = reference.logits(model, TOKENS), expected_logits(folder, TOKENS)
    assert theirs.std() > 0.1
    assert (ours - theirs).abs().max() <= 1e-4


@pytest.mark.parametrize("family", ["llama", "qwen2-sliding", "gemma3"])
def test_a_batch_in_pieces_has_the_logits_of_the_whole(tiny, family):
    model = load_model(tiny(family), "fp32", 1)
    pieces = Model(model.config, model.weights, model.dtype, piece_rows=7)
    assert (cached_logits(pieces, TOKENS) - cached_logits(model, TOKENS)).abs().max() <= 1e-4


def cached_logits(model: Model, ids: list[int]) -> Tensor:
    """Row i is what the model expects after ids[0..i], in one step over pages."""
    pages, length = 10, len(ids)
    kv = PagedKV(
        CacheSize(
            layers=model.config.layers,
            kv_heads=model.config.kv_heads,
            head_dim=model.config.head_dim,
            pages=pages,
            page_size=4,
            dtype=model.dtype,
        )
    )
    span = Span(sequence_id=0, start=0, length=length, context=length, pages=tuple(range(pages)))
    batch = Batch(
        id=0,
        tokens=torch.tensor(ids),
        positions=torch.arange(length),
        spans=(span,),
        logit_rows=torch.arange(length),
    )
    return model.forward(batch, kv.layers, OneRank())
