"""A whole checkpoint of a few kilobytes: random weights, one token per byte, a chat template."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import tokenizers
import torch
from safetensors.torch import save_file

HIDDEN, FFN, LAYERS, HEADS, KV_HEADS = 32, 128, 2, 4, 2
CONTEXT = 256
SPECIAL = ["<|start|>", "<|end|>"]
TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
    "<|start|>assistant\n"
)


def write_toy(
    folder: Path, *, chat_template: bool = True, context: int = CONTEXT, layers: int = LAYERS
) -> Path:
    """Write the checkpoint into ``folder``, the same at each call."""
    folder.mkdir(parents=True, exist_ok=True)
    backend = _tokenizer()
    backend.save(str(folder / "tokenizer.json"))
    end = backend.token_to_id("<|end|>")
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": backend.get_vocab_size(),
        "hidden_size": HIDDEN,
        "intermediate_size": FFN,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "max_position_embeddings": context,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "eos_token_id": end,
        "tie_word_embeddings": False,
    }
    (folder / "config.json").write_text(json.dumps(config))
    template = {"chat_template": TEMPLATE} if chat_template else {}
    (folder / "tokenizer_config.json").write_text(json.dumps({**template, "eos_token": "<|end|>"}))
    tensors = _weights(backend.get_vocab_size(), layers)
    for token in range(backend.get_vocab_size()):
        text = backend.decode([token])
        if not (text.isascii() and text.isprintable() and text):
            tensors["lm_head.weight"][token] = 0.0  # so that it mostly writes printable text
    save_file(tensors, str(folder / "model.safetensors"))
    return folder


def _tokenizer() -> tokenizers.Tokenizer:
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: place for place, symbol in enumerate(alphabet)}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens(SPECIAL)
    return backend


def _weights(vocab: int, layers: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(11)
    width = HIDDEN // HEADS

    def matrix(rows: int, columns: int) -> torch.Tensor:
        return torch.randn(rows, columns, generator=generator) * (1.5 / columns**0.5)

    tensors = {
        "model.embed_tokens.weight": torch.randn(vocab, HIDDEN, generator=generator),
        "model.norm.weight": torch.ones(HIDDEN),
        "lm_head.weight": matrix(vocab, HIDDEN) * 3,
    }
    for layer in range(layers):
        name = f"model.layers.{layer}."
        tensors |= {
            name + "self_attn.q_proj.weight": matrix(HEADS * width, HIDDEN),
            name + "self_attn.k_proj.weight": matrix(KV_HEADS * width, HIDDEN),
            name + "self_attn.v_proj.weight": matrix(KV_HEADS * width, HIDDEN),
            name + "self_attn.o_proj.weight": matrix(HIDDEN, HEADS * width),
            name + "mlp.gate_proj.weight": matrix(FFN, HIDDEN),
            name + "mlp.up_proj.weight": matrix(FFN, HIDDEN),
            name + "mlp.down_proj.weight": matrix(HIDDEN, FFN),
            name + "input_layernorm.weight": torch.ones(HIDDEN),
            name + "post_attention_layernorm.weight": torch.ones(HIDDEN),
        }
    return tensors


def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Return as soon as ``condition`` holds; fail when it has not within ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)
