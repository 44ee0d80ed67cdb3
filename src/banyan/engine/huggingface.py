"""Read the architecture from a Hugging Face folder's config.json, and name its tensors our way.

Covers Llama 2/3, Mistral, Mixtral, Qwen2/2.5, Qwen3 dense and with experts, and Gemma 3 text.
Whatever a config asks for that the engine does not do is refused by name, never ignored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from banyan.core.errors import CheckpointInvalid, UnsupportedModel
from banyan.engine.config import Activation, ModelConfig, RopeConfig, RopeKind
from banyan.engine.metadata import Metadata, read_json

FAMILIES: Final[Mapping[str, str]] = {
    "llama": "llama",
    "mistral": "mistral",
    "mixtral": "mixtral",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "qwen3_moe": "qwen3moe",
    "gemma3_text": "gemma3",
    "gemma3": "gemma3",
}
WITH_EXPERTS: Final = frozenset({"mixtral", "qwen3moe"})
GEMMA_SLIDING_PATTERN: Final = 6  # every sixth layer sees everything

_ACTIVATIONS: Final[Mapping[str, Activation]] = {
    "silu": "silu",
    "gelu_pytorch_tanh": "gelu_tanh",
}
_ROPE_KINDS: Final[Mapping[str, RopeKind]] = {
    "default": "plain",
    "linear": "linear",
    "dynamic": "dynamic",
    "yarn": "yarn",
    "llama3": "llama3",
}
_PREFIX: Final = re.compile(r"^(?:model\.language_model|language_model\.model|model)\.")
_HEAD: Final = frozenset({"lm_head.weight", "language_model.lm_head.weight"})
_LAYER: Final = re.compile(r"^layers\.(\d+)\.(.+)\.(weight|bias)$")
_EXPERT: Final = re.compile(r"^(?:mlp|block_sparse_moe)\.experts\.(\d+)\.(\w+)$")
_TOP: Final[Mapping[str, str]] = {"embed_tokens.weight": "embedding", "norm.weight": "norm"}
_PARTS: Final[Mapping[str, str]] = {
    "self_attn.q_proj": "q",
    "self_attn.k_proj": "k",
    "self_attn.v_proj": "v",
    "self_attn.o_proj": "o",
    "self_attn.q_norm": "q_norm",
    "self_attn.k_norm": "k_norm",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "gate",
    "mlp.up_proj": "up",
    "mlp.down_proj": "down",
}
_GEMMA_PARTS: Final[Mapping[str, str]] = {
    **_PARTS,
    "post_attention_layernorm": "attention_post_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "ffn_post_norm",
}
_ROUTERS: Final = frozenset({"mlp.gate", "block_sparse_moe.gate"})
_EXPERT_PARTS: Final[Mapping[str, str]] = {
    "gate_proj": "gate",
    "up_proj": "up",
    "down_proj": "down",
    "w1": "gate",
    "w2": "down",
    "w3": "up",
}
_SHARED_EXPERTS: Final = (
    "shared_expert_intermediate_size",
    "n_shared_experts",
    "num_shared_experts",
)
_IGNORED: Final = re.compile(
    r"rotary_emb\.inv_freq$"  # old Llama checkpoints keep what the config says
    r"|vision_tower\.|multi_modal_projector\."  # Gemma 3's eyes; only its text half is run
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layers:
    """What differs by layer: the distinct rotations, which one each layer uses, and its window."""

    ropes: tuple[RopeConfig, ...]
    layer_ropes: tuple[int, ...]
    windows: tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Experts:
    """``width`` is that of one feed-forward network."""

    width: int
    count: int = 0
    per_token: int = 0
    normalise: bool = True


def read_config(folder: Path, *, most_layers: int) -> ModelConfig:
    """The ``ModelConfig`` of a folder; ``most_layers`` bounds what a lying config may ask for.

    Raises ``CheckpointInvalid`` and ``UnsupportedModel``.
    """
    top = read_json(folder / "config.json")
    family = check_family(top, folder.name)
    config = top.part("text_config") if top.has("text_config") else top
    _refuse_the_unsupported(top, config, family)
    layers = config.integer("num_hidden_layers")
    if not 0 < layers <= most_layers:
        raise CheckpointInvalid(f"{folder.name} says it has {layers} layers; its files do not.")
    hidden, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    if heads <= 0:
        raise CheckpointInvalid(f"{folder.name} says it has {heads} attention heads.")
    default_head = {"gemma3": 256, "qwen3": 128}.get(family, hidden // heads)
    head_dim = config.integer("head_dim", default_head)
    gemma = family == "gemma3"
    by_layer = _layers(config, family, layers)
    experts = _experts(config, family, layers)
    return ModelConfig(
        family=family,
        layers=layers,
        hidden=hidden,
        ffn=experts.width,
        heads=heads,
        kv_heads=config.integer("num_key_value_heads", heads),
        head_dim=head_dim,
        vocab=config.integer("vocab_size", 262_208 if gemma else None),
        norm_eps=config.number("rms_norm_eps", 1e-6),
        activation=_activation(config, gemma=gemma),
        attention_scale=_attention_scale(config, head_dim, gemma=gemma),
        ropes=by_layer.ropes,
        layer_ropes=by_layer.layer_ropes,
        windows=by_layer.windows,
        context_length=config.integer("max_position_embeddings", 131_072 if gemma else None),
        qkv_bias=family == "qwen2" or config.flag("attention_bias", False),
        output_bias=family != "qwen2" and config.flag("attention_bias", False),
        ffn_bias=config.flag("mlp_bias", False),
        qk_norm=family in ("qwen3", "qwen3moe", "gemma3"),
        sandwich_norms=gemma,
        experts=experts.count,
        experts_per_token=experts.per_token,
        normalise_experts=experts.normalise,
        embedding_scale=math.sqrt(hidden) if gemma else 1.0,
        tied=top.flag("tie_word_embeddings", config.flag("tie_word_embeddings", gemma)),
        bos_id=config.integer("bos_token_id") if config.has("bos_token_id") else None,
        eos_ids=read_eos_ids(folder),
    )


def check_family(top: Metadata, name: str) -> str:
    """The family of a config.json; ``UnsupportedModel`` when it is not run."""
    kind = top.text("model_type")
    if kind not in FAMILIES:
        raise UnsupportedModel(
            f"{name} is of the architecture {kind!r}, which is not run.",
            remedy=f"Banyan runs {', '.join(sorted(set(FAMILIES.values())))}.",
        )
    return FAMILIES[kind]


def read_eos_ids(folder: Path) -> tuple[int, ...]:
    """The tokens that end a turn: those of generation_config.json and of config.json together."""
    top = read_json(folder / "config.json")
    sources = [top, top.part("text_config")]
    if (folder / "generation_config.json").is_file():
        sources.insert(0, read_json(folder / "generation_config.json"))
    found = [source.integers("eos_token_id") for source in sources if source.has("eos_token_id")]
    return tuple(dict.fromkeys(token for ids in found for token in ids))


def canonical_name(name: str, family: str) -> str | None:
    """``layers.3.q.weight``-like name of a tensor; None when it is rightly not used.

    Raises ``UnsupportedModel`` for a tensor the engine has no place for: computing without it
    would give wrong answers.
    """
    if _IGNORED.search(name):
        return None
    if name in _HEAD:
        return "head"
    short = _PREFIX.sub("", name)
    if short in _TOP:
        return _TOP[short]
    match = _LAYER.match(short)
    part = None if match is None else _part(match[2], family)
    if match is None or part is None:
        raise UnsupportedModel(f"Tensor {name} has no place in a model of the family {family}.")
    return f"layers.{int(match[1])}.{part}.{match[3]}"


def _part(name: str, family: str) -> str | None:
    """Our name of a layer's part; None when there is no such part."""
    if family not in WITH_EXPERTS:
        return (_GEMMA_PARTS if family == "gemma3" else _PARTS).get(name)
    if name in _ROUTERS:
        return "router"
    match = _EXPERT.match(name)
    if match is not None and match[2] in _EXPERT_PARTS:
        return f"experts.{int(match[1])}.{_EXPERT_PARTS[match[2]]}"
    return _PARTS.get(name)


def _refuse_the_unsupported(top: Metadata, config: Metadata, family: str) -> None:
    if top.has("quantization_config"):
        method = top.part("quantization_config").text("quant_method", "unknown")
        raise UnsupportedModel(
            f"{top.source} is quantised with {method}, which is not read.",
            remedy="Use the unquantised checkpoint, or a GGUF file.",
        )
    refused = ["final_logit_softcapping", "attn_logit_softcapping"]
    if family not in WITH_EXPERTS:
        refused += ["num_experts", "num_local_experts"]
    for key in refused:
        if config.has(key):
            raise UnsupportedModel(f"{config.source} asks for {key}, which is not run.")
    if config.has("use_bidirectional_attention") and config.flag("use_bidirectional_attention"):
        raise UnsupportedModel(f"{config.source} is an encoder: it attends in both directions.")
    if config.number("partial_rotary_factor", 1.0) != 1.0:
        raise UnsupportedModel(f"{config.source} rotates a part of each head, which is not run.")
    if family in ("mistral", "mixtral") and config.flag("attention_bias", False):
        raise UnsupportedModel(f"{config.source} asks for attention_bias, which {family} has not.")


def _experts(config: Metadata, family: str, layers: int) -> _Experts:
    """Every layer has experts, or none has. Raises ``UnsupportedModel`` for a mixture of both, and
    for experts that all tokens share."""
    if family not in WITH_EXPERTS:
        return _Experts(width=config.integer("intermediate_size"))
    for key in _SHARED_EXPERTS:
        if config.has(key) and config.number(key):
            raise UnsupportedModel(f"{config.source} asks for {key}, which is not run.")
    dense = config.integers("mlp_only_layers") if config.has("mlp_only_layers") else []
    if config.integer("decoder_sparse_step", 1) != 1 or any(layer < layers for layer in dense):
        raise UnsupportedModel(
            f"{config.source} gives experts to some layers only (decoder_sparse_step,"
            " mlp_only_layers), which is not run."
        )
    key = "num_local_experts" if config.has("num_local_experts") else "num_experts"
    mixtral = family == "mixtral"
    return _Experts(
        width=config.integer("intermediate_size" if mixtral else "moe_intermediate_size"),
        count=config.integer(key),
        per_token=config.integer("num_experts_per_tok", 2 if mixtral else 8),
        normalise=mixtral or config.flag("norm_topk_prob", False),
    )


def _activation(config: Metadata, *, gemma: bool) -> Activation:
    key, default = ("hidden_activation", "gelu_pytorch_tanh") if gemma else ("hidden_act", "silu")
    name = config.text(key, default)
    if name not in _ACTIVATIONS:
        raise UnsupportedModel(f"{config.source} asks for the activation {name!r}.")
    return _ACTIVATIONS[name]


def _attention_scale(config: Metadata, head_dim: int, *, gemma: bool) -> float:
    scalar = config.number("query_pre_attn_scalar", 256.0) if gemma else float(head_dim)
    if scalar <= 0:
        raise CheckpointInvalid(f"{config.source} scales attention by 1/sqrt({scalar}).")
    return scalar**-0.5


def _layers(config: Metadata, family: str, layers: int) -> _Layers:
    sliding = _sliding(config, family, layers)
    window = config.integer("sliding_window", 4096) if any(sliding) else 0
    if any(sliding) and window <= 0:
        raise CheckpointInvalid(f"{config.source} has a sliding window of {window}.")
    ropes: tuple[RopeConfig, ...]
    if family == "gemma3":
        ropes = _gemma_ropes(config)
        layer_ropes = tuple(int(slides) for slides in sliding)
    else:
        ropes = (_rope(_rope_values(config), config, _theta(config, family)),)
        layer_ropes = (0,) * layers
    return _Layers(
        ropes=ropes,
        layer_ropes=layer_ropes,
        windows=tuple(window if slides else None for slides in sliding),
    )


def _sliding(config: Metadata, family: str, layers: int) -> list[bool]:
    """Which layers see only a window."""
    if family == "llama":
        return [False] * layers
    if family == "mistral":
        without = config.mentions("sliding_window") and not config.has("sliding_window")
        return [not without] * layers
    if family in WITH_EXPERTS:  # all of them or none
        asked = family == "mixtral" or config.flag("use_sliding_window", False)
        return [asked and config.has("sliding_window")] * layers
    if config.has("layer_types"):
        types = config.texts("layer_types")
        unknown = set(types) - {"full_attention", "sliding_attention"}
        if unknown:
            raise UnsupportedModel(f"{config.source} has layers of the type {min(unknown)}.")
        return [kind == "sliding_attention" for kind in types]
    if family == "gemma3":
        pattern = config.integer("sliding_window_pattern", GEMMA_SLIDING_PATTERN)
        return [(layer + 1) % max(pattern, 1) != 0 for layer in range(layers)]
    if not config.flag("use_sliding_window", False) or not config.has("sliding_window"):
        return [False] * layers
    first = config.integer("max_window_layers", 28)
    return [layer >= first for layer in range(layers)]


def _theta(config: Metadata, family: str) -> float:
    return config.number("rope_theta", 1_000_000.0 if family == "mixtral" else 10_000.0)


def _rope_values(config: Metadata) -> Metadata:
    return config.part("rope_parameters" if config.has("rope_parameters") else "rope_scaling")


def _gemma_ropes(config: Metadata) -> tuple[RopeConfig, RopeConfig]:
    """Gemma 3's two rotations: of the layers that see everything, and of those that slide."""
    theta = config.number("rope_theta", 1_000_000.0)
    local = config.number("rope_local_base_freq", 10_000.0)
    nested = config.part("rope_parameters")
    if nested.has("full_attention") or nested.has("sliding_attention"):
        full, sliding = nested.part("full_attention"), nested.part("sliding_attention")
        return _rope(full, config, theta), _rope(sliding, config, local)
    return _rope(_rope_values(config), config, theta), RopeConfig(theta=local)


def _rope(values: Metadata, config: Metadata, theta: float) -> RopeConfig:
    name = values.text("rope_type", values.text("type", "default"))
    if name not in _ROPE_KINDS:
        raise UnsupportedModel(f"{values.source} asks for the rotation {name!r}, which is not run.")
    if values.number("partial_rotary_factor", 1.0) != 1.0:
        raise UnsupportedModel(f"{config.source} rotates a part of each head, which is not run.")
    kind = _ROPE_KINDS[name]
    theta = values.number("rope_theta", theta)
    if kind == "plain":
        return RopeConfig(theta=theta)
    longest = config.integer("max_position_embeddings")
    original = longest if kind == "dynamic" else _original_context(values, config, longest)
    default = longest / max(original, 1) if kind == "yarn" else None
    factor = values.number("factor", default)
    return RopeConfig(
        theta=theta,
        kind=kind,
        factor=factor,
        original_context=original,
        low_frequency_factor=values.number("low_freq_factor", 1.0),
        high_frequency_factor=values.number("high_freq_factor", 4.0),
        beta_fast=values.number("beta_fast", 32.0),
        beta_slow=values.number("beta_slow", 1.0),
        truncate=values.flag("truncate", True),
        attention_factor=_attention_factor(values, factor) if kind == "yarn" else 1.0,
    )


def _original_context(values: Metadata, config: Metadata, longest: int) -> int:
    key = "original_max_position_embeddings"
    return config.integer(key) if config.has(key) else values.integer(key, longest)


def _attention_factor(values: Metadata, factor: float) -> float:
    """YaRN's correction of the attention's temperature (Peng et al. 2023, section 3.4)."""
    if values.has("attention_factor"):
        return values.number("attention_factor")

    def correction(weight: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0

    if values.has("mscale") and values.has("mscale_all_dim"):
        numerator, denominator = values.number("mscale"), values.number("mscale_all_dim")
        if numerator and denominator:
            return correction(numerator) / correction(denominator)
    return correction(1.0)
