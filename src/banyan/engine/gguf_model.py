"""Read the architecture from a GGUF file's metadata, and name its tensors our way.

Three things differ from Hugging Face's storage: files of the architecture ``llama`` hold the rows
of q and k in the order of interleaved rotation and are put back here; Gemma's norms are stored plus
one, which is how the engine wants them; the matrices of a layer's experts are one tensor.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from banyan.core.errors import CheckpointInvalid, UnsupportedModel
from banyan.engine import stored as formats
from banyan.engine.config import ModelConfig, RopeConfig
from banyan.engine.gguf import GgufFile
from banyan.engine.metadata import Metadata
from banyan.engine.stored import Stored

ARCHITECTURES: Final = ("llama", "qwen2", "qwen3", "qwen3moe", "gemma3")
WITH_EXPERTS: Final = frozenset({"llama", "qwen3moe"})  # ``llama`` with experts is Mixtral
SOFTMAX_GATING: Final = 1
GEMMA_SLIDING_PATTERN: Final = 6
GEMMA_LOCAL_THETA: Final = 10_000.0
GEMMA_27B_LAYERS: Final = 62  # the one size that scales attention by hidden / heads

END_TOKENS: Final = frozenset(
    {"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>"}
)

_TOP: Final[Mapping[str, str]] = {
    "token_embd.weight": "embedding",
    "output_norm.weight": "norm",
    "output.weight": "head",
}
_LAYER: Final = re.compile(r"^blk\.(\d+)\.(\w+)\.(weight|bias)$")
_STACK: Final = re.compile(r"^(blk\.\d+\.ffn_(?:gate|up|down))_exps\.weight$")
_EXPERT: Final = re.compile(r"^blk\.(\d+)\.ffn_(gate|up|down)\.(\d+)\.weight$")
_PARTS: Final[Mapping[str, str]] = {
    "attn_q": "q",
    "attn_k": "k",
    "attn_v": "v",
    "attn_output": "o",
    "attn_q_norm": "q_norm",
    "attn_k_norm": "k_norm",
    "attn_norm": "attention_norm",
    "post_attention_norm": "attention_post_norm",
    "ffn_norm": "ffn_norm",
    "post_ffw_norm": "ffn_post_norm",
    "ffn_gate_inp": "router",
    "ffn_gate": "gate",
    "ffn_up": "up",
    "ffn_down": "down",
}
_ROPE_DIVISORS: Final = "rope_freqs.weight"


@dataclass(frozen=True, slots=True)
class _Keys:
    """The metadata under the architecture's own prefix."""

    values: Metadata
    architecture: str

    def __call__(self, key: str) -> str:
        return f"{self.architecture}.{key}"


def read_config(file: GgufFile) -> ModelConfig:
    """The ``ModelConfig`` of a GGUF file. Raises ``CheckpointInvalid``, ``UnsupportedModel``."""
    values = Metadata(file, file.path.name)
    architecture = _architecture(values)
    key = _Keys(values, architecture)
    _refuse_the_unsupported(key)
    layers = values.integer(key("block_count"))
    if not 0 < layers <= len(file.tensors):
        raise CheckpointInvalid(f"{file.path.name} says it has {layers} layers; it does not.")
    hidden = values.integer(key("embedding_length"))
    heads = values.integer(key("attention.head_count"))
    if heads <= 0:
        raise CheckpointInvalid(f"{file.path.name} says it has {heads} attention heads.")
    head_dim = values.integer(key("attention.key_length"), hidden // heads)
    gemma = architecture == "gemma3"
    windows = _windows(key, layers)
    ropes = _ropes(key, file, head_dim)
    squeezed = gemma and layers == GEMMA_27B_LAYERS
    experts = _expert_count(key)
    return ModelConfig(
        family=architecture,
        layers=layers,
        hidden=hidden,
        ffn=_ffn(key, experts),
        heads=heads,
        kv_heads=values.integer(key("attention.head_count_kv"), heads),
        head_dim=head_dim,
        vocab=_vocab(file),
        norm_eps=values.number(key("attention.layer_norm_rms_epsilon")),
        activation="gelu_tanh" if gemma else "silu",
        attention_scale=(hidden / heads if squeezed else head_dim) ** -0.5,
        ropes=ropes,
        layer_ropes=tuple(int(gemma and window is not None) for window in windows),
        windows=windows,
        context_length=values.integer(key("context_length")),
        qkv_bias="blk.0.attn_q.bias" in file.tensors,
        output_bias="blk.0.attn_output.bias" in file.tensors,
        ffn_bias="blk.0.ffn_down.bias" in file.tensors,
        qk_norm=architecture in ("qwen3", "qwen3moe", "gemma3"),
        sandwich_norms=gemma,
        experts=experts,
        experts_per_token=values.integer(key("expert_used_count")) if experts else 0,
        normalise_experts=values.flag(key("expert_weights_norm"), True),
        embedding_scale=math.sqrt(hidden) if gemma else 1.0,
        tied="output.weight" not in file.tensors,
        bos_id=_optional_id(values, "tokenizer.ggml.bos_token_id"),
        eos_ids=read_eos_ids(file),
    )


def _architecture(values: Metadata) -> str:
    architecture = values.text("general.architecture")
    if architecture not in ARCHITECTURES:
        raise UnsupportedModel(
            f"{values.source} is of the architecture {architecture!r}, which is not run.",
            remedy=f"Banyan runs {', '.join(ARCHITECTURES)}.",
        )
    return architecture


def read_eos_ids(file: GgufFile) -> tuple[int, ...]:
    """The tokens that end a turn: those the file says, and those known by their names."""
    values = Metadata(file, file.path.name)
    said = [
        _optional_id(values, f"tokenizer.ggml.{kind}_token_id") for kind in ("eos", "eot", "eom")
    ]
    tokens = file.get("tokenizer.ggml.tokens", [])
    named = [
        index
        for index, token in enumerate(tokens if isinstance(tokens, list) else [])
        if token in END_TOKENS
    ]
    return tuple(dict.fromkeys(index for index in (*said, *named) if index is not None))


def canonical_name(name: str, family: str) -> str | None:
    """``layers.3.q.weight``-like name of a tensor; None when it is no weight of a layer.

    Raises ``UnsupportedModel`` for a tensor the engine has no place for.
    """
    if name == _ROPE_DIVISORS:
        return None
    if name in _TOP:
        return _TOP[name]
    expert = _EXPERT.match(name)
    if expert is not None:
        return f"layers.{int(expert[1])}.experts.{int(expert[3])}.{expert[2]}.weight"
    match = _LAYER.match(name)
    if match is None or match[2] not in _PARTS:
        raise UnsupportedModel(f"Tensor {name} has no place in a model of the family {family}.")
    return f"layers.{int(match[1])}.{_PARTS[match[2]]}.{match[3]}"


def experts_apart(tensors: Mapping[str, Stored], experts: int) -> dict[str, Stored]:
    """The same tensors, those that hold a matrix of every expert as a view for each: numbered
    ``blk.N.ffn_gate.E.weight``, as old files of Mixtral have them."""
    apart: dict[str, Stored] = {}
    for name, tensor in tensors.items():
        match = _STACK.match(name)
        if match is None:
            apart[name] = tensor
            continue
        if len(tensor.shape) != 3 or tensor.shape[0] != experts:
            raise CheckpointInvalid(
                f"Tensor {name} is {tensor.shape}; there are {experts} experts."
            )
        for number in range(experts):
            apart[f"{match[1]}.{number}.weight"] = tensor.matrix(number)
    return apart


def unpermuted(tensor: Stored, heads: int) -> Stored:
    """Rows [heads, d/2, 2] put back into [heads, 2, d/2]."""
    rows = tensor.shape[0]
    if rows % (2 * heads):
        raise CheckpointInvalid(f"Tensor {tensor.name}: {rows} rows are not {heads} heads.")
    order = np.arange(rows, dtype=np.int64).reshape(heads, -1, 2).swapaxes(1, 2).reshape(-1)
    return tensor.reordered(order)


def _refuse_the_unsupported(key: _Keys) -> None:
    refused = [
        "expert_shared_count",
        "expert_group_count",
        "leading_dense_block_count",
        "final_logit_softcapping",
        "attn_logit_softcapping",
        "rope.scaling.attn_factor",
        "rope.scaling.yarn_log_multiplier",
    ]
    if key.architecture not in WITH_EXPERTS:
        refused.append("expert_count")
    for name in refused:
        if key.values.has(key(name)) and key.values.number(key(name)):
            raise UnsupportedModel(f"{key.values.source} asks for {name}, which is not run.")


def _expert_count(key: _Keys) -> int:
    """0 for a dense model."""
    values = key.values
    count = values.integer(key("expert_count"), 0)
    if not count:
        return 0
    gating = values.integer(key("expert_gating_func"), SOFTMAX_GATING)
    if gating not in (0, SOFTMAX_GATING):
        raise UnsupportedModel(
            f"{values.source} asks for expert_gating_func {gating}, not softmax."
        )
    if values.number(key("expert_weights_scale"), 1.0) not in (0.0, 1.0):
        raise UnsupportedModel(f"{values.source} asks for expert_weights_scale, which is not run.")
    return count


def _ffn(key: _Keys, experts: int) -> int:
    """The width of a feed-forward network; for one expert some files have a key of its own."""
    own = key("expert_feed_forward_length")
    if experts and key.values.has(own):
        return key.values.integer(own)
    return key.values.integer(key("feed_forward_length"))


def _vocab(file: GgufFile) -> int:
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise CheckpointInvalid(f"{file.path.name} has no matrix token_embd.weight.")
    return embedding.shape[0]


def _optional_id(values: Metadata, name: str) -> int | None:
    return values.integer(name) if values.has(name) else None


def _windows(key: _Keys, layers: int) -> tuple[int | None, ...]:
    if not key.values.has(key("attention.sliding_window")):
        return (None,) * layers
    window = key.values.integer(key("attention.sliding_window"))
    if window <= 0:
        return (None,) * layers
    if key.architecture != "gemma3":
        return (window,) * layers
    pattern = key.values.integer(key("attention.sliding_window_pattern"), GEMMA_SLIDING_PATTERN)
    return tuple(window if (layer + 1) % max(pattern, 1) else None for layer in range(layers))


def _ropes(key: _Keys, file: GgufFile, head_dim: int) -> tuple[RopeConfig, ...]:
    values = key.values
    if values.integer(key("rope.dimension_count"), head_dim) != head_dim:
        raise UnsupportedModel(f"{values.source} rotates a part of each head, which is not run.")
    gemma = key.architecture == "gemma3"
    theta = values.number(key("rope.freq_base"), 1_000_000.0 if gemma else 10_000.0)
    rope = _scaled(key, theta)
    if _ROPE_DIVISORS in file.tensors:
        rope = RopeConfig(
            theta=theta, kind="divisors", divisors=_divisors(file.tensors[_ROPE_DIVISORS], head_dim)
        )
    if not gemma:
        return (rope,)
    local = values.number(key("rope.freq_base_swa"), GEMMA_LOCAL_THETA)
    return (rope, RopeConfig(theta=local))


def _scaled(key: _Keys, theta: float) -> RopeConfig:
    values = key.values
    kind = values.text(key("rope.scaling.type"), "none")
    factor = values.number(key("rope.scaling.factor"), values.number(key("rope.scale_linear"), 1.0))
    if kind == "linear" or (kind == "none" and values.has(key("rope.scale_linear"))):
        return RopeConfig(theta=theta, kind="linear", factor=factor)
    if kind == "none":
        return RopeConfig(theta=theta)
    if kind != "yarn":
        raise UnsupportedModel(f"{values.source} asks for the rotation {kind!r}, which is not run.")
    context = values.integer(key("context_length"))
    return RopeConfig(
        theta=theta,
        kind="yarn",
        factor=factor,
        original_context=values.integer(key("rope.scaling.original_context_length"), context),
        attention_factor=1.0 if factor <= 1 else 0.1 * math.log(factor) + 1.0,
    )


def _divisors(tensor: Stored, head_dim: int) -> tuple[float, ...]:
    if tensor.format != formats.F32 or tensor.shape != (head_dim // 2,):
        raise CheckpointInvalid(f"{_ROPE_DIVISORS} is not {head_dim // 2} numbers in F32.")
    numbers = tensor.data.reshape(-1).view(np.float32)
    if not np.all(np.isfinite(numbers) & (numbers > 0)):
        raise CheckpointInvalid(f"{_ROPE_DIVISORS} holds numbers that cannot divide.")
    return tuple(float(number) for number in numbers)
