"""Write a tiny checkpoint of ``transformers`` as GGUF, the way llama.cpp's converter stores it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import gguf
import numpy as np

NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "input_layernorm": "attn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
}
NORMS = {"post_attention_layernorm": "ffn_norm"}
GEMMA_NORMS = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
ARCHITECTURES = {
    "mistral": "llama",
    "mixtral": "llama",
    "gemma3_text": "gemma3",
    "qwen3_moe": "qwen3moe",
}


def write_gguf(
    folder: Path,
    target: Path,
    kind: gguf.GGMLQuantizationType,
    *,
    experts_apart: bool = False,
    extra: Mapping[str, int | float] | None = None,
) -> Path:
    """``kind`` is the format of the matrices whose rows divide into its blocks; ``experts_apart``
    writes a tensor for each expert, as converters did before they stacked them; ``extra`` is
    metadata that says something else than the model is."""
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    config = model.config
    architecture = ARCHITECTURES.get(config.model_type, config.model_type)
    writer = gguf.GGUFWriter(target, architecture)
    _write_shape(writer, config)
    for key, value in (extra or {}).items():
        writer.kv_data[0].pop(key, None)
        writer.add_uint32(key, value) if isinstance(value, int) else writer.add_float32(key, value)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        array = tensor.float().numpy()
        if ".experts." in name:
            for part, stack in _experts(name, array):
                if experts_apart:
                    for number, matrix in enumerate(stack):
                        _write_tensor(writer, f"{part}.{number}.weight", matrix, kind)
                else:
                    _write_tensor(writer, f"{part}_exps.weight", stack, kind)
            continue
        if architecture == "llama" and (".q_proj." in name or ".k_proj." in name):
            heads = config.num_attention_heads if ".q_" in name else config.num_key_value_heads
            halves = array.reshape(heads, 2, -1, *array.shape[1:])
            array = halves.swapaxes(1, 2).reshape(array.shape)
        if architecture == "gemma3" and "norm" in name:
            array = array + 1
        _write_tensor(writer, _gguf_name(name, architecture), array, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def _write_shape(writer: gguf.GGUFWriter, config: object) -> None:
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    _write_experts_shape(writer, config)
    head_dim = getattr(config, "head_dim", None)
    if head_dim:
        writer.add_key_length(head_dim)
    window = getattr(config, "sliding_window", None)
    if window:
        writer.add_sliding_window(window)
    ropes = config.rope_parameters
    rope = ropes.get("full_attention", ropes)
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if rope["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", _llama3_divisors(config, rope))


def _write_experts_shape(writer: gguf.GGUFWriter, config: object) -> None:
    count = getattr(config, "num_local_experts", 0)
    if count:
        writer.add_expert_count(count)
        writer.add_expert_used_count(config.num_experts_per_tok)
    width = getattr(config, "moe_intermediate_size", 0)
    if width:
        writer.add_expert_feed_forward_length(width)
        writer.add_expert_weights_norm(config.norm_topk_prob)


def _experts(name: str, array: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """From a layer's stacked experts, GGUF's beginning of the name and [experts, rows, columns]."""
    prefix = f"blk.{name.split('.')[2]}"
    if name.endswith("down_proj"):
        yield f"{prefix}.ffn_down", array
        return
    gate, up = np.split(array, 2, axis=1)
    yield f"{prefix}.ffn_gate", np.ascontiguousarray(gate)
    yield f"{prefix}.ffn_up", np.ascontiguousarray(up)


def _llama3_divisors(config: object, rope: dict[str, float]) -> np.ndarray:
    """By how much each frequency is divided, as the converter computes it."""
    dim = config.hidden_size // config.num_attention_heads
    waves = 2 * np.pi * rope["rope_theta"] ** (np.arange(0, dim, 2) / dim)
    original, factor = rope["original_max_position_embeddings"], rope["factor"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    smooth = (original / waves - low) / (high - low)
    between = 1 / ((1 - smooth) / factor + smooth)
    divisors = np.where(waves > original / low, factor, between)
    return np.where(waves < original / high, 1.0, divisors).astype(np.float32)


def _gguf_name(name: str, architecture: str) -> str:
    if name in NAMES:
        return NAMES[name]
    _, _, layer, rest = name.split(".", 3)
    part, suffix = rest.rsplit(".", 1)
    parts = {**PARTS, **(GEMMA_NORMS if architecture == "gemma3" else NORMS)}
    return f"blk.{layer}.{parts[part]}.{suffix}"


def _write_tensor(
    writer: gguf.GGUFWriter, name: str, array: np.ndarray, kind: gguf.GGMLQuantizationType
) -> None:
    block = gguf.GGML_QUANT_SIZES[kind][0]
    if array.ndim == 1 or array.shape[-1] % block:
        writer.add_tensor(name, array)
        return
    writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
