"""Tiny random checkpoints of every family, as ``transformers`` saves them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.engine.watched import Bench

HIDDEN, LAYERS, HEADS, KV_HEADS, VOCAB = 64, 3, 4, 2, 160
SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": HIDDEN,
    "intermediate_size": 96,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
GEMMA_ROPES = {
    "full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
}

# name: (class of the config, options)
FAMILIES: dict[str, tuple[str, dict[str, object]]] = {
    "llama": ("LlamaConfig", {}),
    "llama-mha-tied-biased": (
        "LlamaConfig",
        {
            "num_key_value_heads": HEADS,
            "tie_word_embeddings": True,
            "attention_bias": True,
            "mlp_bias": True,
        },
    ),
    "llama-linear": (
        "LlamaConfig",
        {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5e3}},
    ),
    "llama-dynamic": (
        "LlamaConfig",
        {
            "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4},
            "max_position_embeddings": 24,
        },
    ),
    "llama-yarn": ("LlamaConfig", {"rope_parameters": {**YARN, "rope_theta": 1e4}}),
    "llama-3": ("LlamaConfig", {"rope_parameters": {**LLAMA3, "rope_theta": 5e5}}),
    "mistral": ("MistralConfig", {"sliding_window": 7, "head_dim": 32}),
    "qwen2": ("Qwen2Config", {"tie_word_embeddings": True}),
    "qwen2-sliding": (
        "Qwen2Config",
        {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3Config", {"head_dim": 32}),
    "mixtral": (
        "MixtralConfig",
        {"num_local_experts": 5, "num_experts_per_tok": 2, "rope_parameters": None},
    ),
    "mixtral-sliding": ("MixtralConfig", {"sliding_window": 7, "head_dim": 32}),
    "qwen3-moe": (
        "Qwen3MoeConfig",
        {
            "head_dim": 32,
            "moe_intermediate_size": 64,
            "num_experts": 6,
            "num_experts_per_tok": 3,
            "norm_topk_prob": True,
        },
    ),
    "qwen3-moe-sliding": (
        "Qwen3MoeConfig",
        {
            "moe_intermediate_size": 32,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "norm_topk_prob": False,
            "use_sliding_window": True,
            "sliding_window": 6,
        },
    ),
    "gemma3": (
        "Gemma3TextConfig",
        {
            "head_dim": 32,
            "sliding_window": 5,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 24,
            "rope_parameters": GEMMA_ROPES,
        },
    ),
    "gemma3-six-layers": (
        "Gemma3TextConfig",
        {
            "head_dim": 32,
            "sliding_window": 5,
            "num_hidden_layers": 6,
            "query_pre_attn_scalar": 32,
            "rope_parameters": GEMMA_ROPES,
        },
    ),
}

Tiny = Callable[[str], Path]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """``tiny("qwen3")``: a folder with a random checkpoint of that name, in several shards."""

    @cache
    def make(name: str) -> Path:
        import torch
        import transformers

        kind, options = FAMILIES[name]
        config = getattr(transformers, kind)(**{**SHAPE, **options})
        torch.manual_seed(7)
        model = transformers.AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
        folder = tmp_path_factory.mktemp(name)
        model.save_pretrained(folder, max_shard_size="100KB")
        return folder

    return make


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint of a few kilobytes, tokenizer and chat template included."""
    from tests.engine.toy import write_toy

    return write_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def bench(toy: Path) -> Iterator[Bench]:
    """Makes engines over a watched model, in fp32, and closes them at the end."""
    from tests.engine.watched import Bench

    bench = Bench(toy)
    yield bench
    bench.close()
