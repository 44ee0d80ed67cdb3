"""Checkpoints of a given shape with random weights, for benches: speed does not depend on them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

FOLDER = Path(".shapes")


@dataclass(frozen=True)
class Shape:
    """A Llama's sizes."""

    name: str
    layers: int
    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    vocab: int
    context: int = 4096

    @property
    def parameters(self) -> int:
        kv = self.hidden // self.heads * self.kv_heads
        layer = self.hidden * (2 * self.hidden + 2 * kv + 3 * self.ffn)
        return self.layers * layer + 2 * self.vocab * self.hidden


B1 = Shape("1.1b", 22, 2048, 5632, 32, 4, 32_000)
"""TinyLlama's."""
B1_SHORT = Shape("1.1b-8-layers", 8, 2048, 5632, 32, 4, 32_000)
ARTICLE = Shape("3.4b", 26, 3200, 8640, 32, 32, 32_000)
"""LLaMA-3B as the source article gives it."""
TINY = Shape("tiny", 2, 256, 768, 8, 4, 1_024)
SHAPES = {shape.name: shape for shape in (B1, B1_SHORT, ARTICLE, TINY)}


def folder(shape: Shape, dtype: torch.dtype = torch.bfloat16) -> Path:
    """A Hugging Face folder of that shape; made once, a file per layer."""
    target = FOLDER / shape.name
    if (target / "config.json").exists():
        return target
    target.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1 << 24, generator=generator)

    def matrix(rows: int, columns: int) -> torch.Tensor:
        start = int(torch.randint(1 << 20, (1,), generator=generator))
        numbers = noise[start:].repeat(-(-rows * columns // (len(noise) - start)))
        return (numbers[: rows * columns] / columns**0.5).to(dtype).view(rows, columns)

    places: dict[str, str] = {}

    def save(name: str, tensors: dict[str, torch.Tensor]) -> None:
        save_file(tensors, str(target / name))
        places.update(dict.fromkeys(tensors, name))

    for layer in range(shape.layers):
        at = f"model.layers.{layer}."
        tensors = {
            f"{at}{name}.weight": matrix(*size) for name, (_, size) in _matrices(shape).items()
        }
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{at}{norm}.weight"] = torch.ones(shape.hidden, dtype=dtype)
        save(f"layer-{layer}.safetensors", tensors)
    save(
        "ends.safetensors",
        {
            "model.embed_tokens.weight": matrix(shape.vocab, shape.hidden),
            "model.norm.weight": torch.ones(shape.hidden, dtype=dtype),
            "lm_head.weight": matrix(shape.vocab, shape.hidden),
        },
    )
    index = json.dumps({"weight_map": places})
    (target / "model.safetensors.index.json").write_text(index)
    (target / "config.json").write_text(json.dumps(settings(shape)))
    return target


def gguf_file(shape: Shape) -> Path:
    """The same shape as a GGUF file in Q4_0, with a tokenizer of made-up words; made once."""
    import gguf

    target = FOLDER / f"{shape.name}-q4_0.gguf"
    if target.exists():
        return target
    FOLDER.mkdir(exist_ok=True)
    part = target.with_suffix(".part")
    writer = gguf.GGUFWriter(str(part), "llama")
    writer.add_name(shape.name)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.hidden // shape.heads)
    writer.add_vocab_size(shape.vocab)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    _add_words(writer, shape.vocab)
    generator = np.random.default_rng(0)
    for layer in range(shape.layers):
        for name, size in _matrices(shape).values():
            _add_q4(writer, f"blk.{layer}.{name}.weight", size, generator)
        for name in ("attn_norm", "ffn_norm"):
            ones = np.ones(shape.hidden, dtype=np.float32)
            writer.add_tensor(f"blk.{layer}.{name}.weight", ones)
    _add_q4(writer, "token_embd.weight", (shape.vocab, shape.hidden), generator)
    _add_q4(writer, "output.weight", (shape.vocab, shape.hidden), generator)
    writer.add_tensor("output_norm.weight", np.ones(shape.hidden, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.rename(target)
    return target


def _matrices(shape: Shape) -> dict[str, tuple[str, tuple[int, int]]]:
    """The matrices of a layer: their Hugging Face names, with their GGUF names and sizes."""
    hidden, ffn = shape.hidden, shape.ffn
    kv = hidden // shape.heads * shape.kv_heads
    return {
        "self_attn.q_proj": ("attn_q", (hidden, hidden)),
        "self_attn.k_proj": ("attn_k", (kv, hidden)),
        "self_attn.v_proj": ("attn_v", (kv, hidden)),
        "self_attn.o_proj": ("attn_output", (hidden, hidden)),
        "mlp.gate_proj": ("ffn_gate", (ffn, hidden)),
        "mlp.up_proj": ("ffn_up", (ffn, hidden)),
        "mlp.down_proj": ("ffn_down", (hidden, ffn)),
    }


def _add_q4(writer: Any, name: str, size: tuple[int, int], generator: np.random.Generator) -> None:
    """A random matrix in Q4_0: blocks of 32 numbers, a float16 scale and 16 bytes of codes."""
    import gguf

    rows, columns = size
    blocks = generator.integers(0, 256, (rows, columns // 32, 18), dtype=np.uint8)
    scales = np.full((rows, columns // 32), 0.2 / columns**0.5, dtype=np.float16)
    blocks[:, :, :2] = scales.view(np.uint8).reshape(rows, columns // 32, 2)
    raw = blocks.reshape(rows, -1)
    writer.add_tensor(name, raw, raw_dtype=gguf.GGMLQuantizationType.Q4_0)


def _add_words(writer: Any, vocab: int) -> None:
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    words = special + [f"word{number}" for number in range(vocab - len(special))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([-float(place) for place in range(vocab)])
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * (vocab - len(special)))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def settings(shape: Shape) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocab,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
    }
