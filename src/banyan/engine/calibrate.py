"""Calibrate: what this machine's device does per second, on layers of random weights.

The whole device, with all its cores: in bf16, or in fp32 where it computes in that, and
on processors in four bits as well. It runs in a process of its own (``cluster/calibration.py``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import torch

from banyan.core.layout import DeviceFacts
from banyan.engine.checkpoint import Checkpoint
from banyan.engine.config import EngineConfig, ModelConfig, RopeConfig
from banyan.engine.device_facts import measure_device
from banyan.engine.model import Model
from banyan.engine.stored import F32, Q4_0, Stored, stored
from banyan.engine.weights import activation_dtype, load_weights
from banyan.plan.matrices import WeightKind

CPU_LAYERS: Final = (1536, 4096, 4)
"""Hidden size, feed-forward width and number of layers: more than a processor's cache holds."""
CARD_LAYERS: Final = (4096, 11_008, 2)
"""Wide enough to keep a card busy."""
HEAD_DIM: Final = 64
GROUP: Final = 4
"""Query heads that share a key-value head."""


def calibrated(device: str) -> DeviceFacts:
    """The device's facts in every precision that it is likely to compute in."""
    chosen = EngineConfig(device=device).resolve()
    dense: WeightKind = "fp32" if chosen.precision == "fp32" else "bf16"
    kinds: tuple[WeightKind, ...] = (dense, "packed") if device == "cpu" else (dense,)
    config = layers_of(*(CPU_LAYERS if device == "cpu" else CARD_LAYERS))
    torch.set_num_threads(chosen.threads)
    # At its best: whatever else runs at this moment is not part of the machine.
    found = [measure_device(_model(config, kind, chosen), kind, of_runs=min) for kind in kinds]
    return replace(
        found[0],
        measured=tuple(rates for each in found for rates in each.measured),
        wide_rows=found[-1].wide_rows,
    )


def layers_of(hidden: int, ffn: int, layers: int) -> ModelConfig:
    """A Llama's layers of these sizes."""
    heads = hidden // HEAD_DIM
    return ModelConfig(
        family="llama",
        layers=layers,
        hidden=hidden,
        ffn=ffn,
        heads=heads,
        kv_heads=heads // GROUP,
        head_dim=HEAD_DIM,
        vocab=64,
        norm_eps=1e-5,
        activation="silu",
        attention_scale=HEAD_DIM**-0.5,
        ropes=(RopeConfig(),),
        layer_ropes=(0,) * layers,
        windows=(None,) * layers,
        context_length=4096,
    )


def _model(config: ModelConfig, kind: WeightKind, chosen: EngineConfig) -> Model:
    precision = "packed" if kind == "packed" else chosen.precision
    weights = load_weights(_checkpoint(config), precision, 1, device=torch.device(chosen.device))
    return Model(config, weights, activation_dtype(precision), device=torch.device(chosen.device))


def _checkpoint(config: ModelConfig) -> Checkpoint:
    """Random matrices in four bits, which any precision can be made of."""
    generator = np.random.default_rng(0)
    kv = config.kv_heads * config.head_dim
    sizes = {
        "q": (config.heads * config.head_dim, config.hidden),
        "k": (kv, config.hidden),
        "v": (kv, config.hidden),
        "o": (config.hidden, config.heads * config.head_dim),
        "gate": (config.ffn, config.hidden),
        "up": (config.ffn, config.hidden),
        "down": (config.hidden, config.ffn),
    }
    tensors = {"embedding": _matrix("embedding", (config.vocab, config.hidden), generator)}
    tensors["head"] = tensors["embedding"]
    tensors["norm"] = _ones("norm", config.hidden)
    for layer in range(config.layers):
        for part, size in sizes.items():
            name = f"layers.{layer}.{part}.weight"
            tensors[name] = _matrix(name, size, generator)
        for part in ("attention_norm", "ffn_norm"):
            name = f"layers.{layer}.{part}.weight"
            tensors[name] = _ones(name, config.hidden)
    return Checkpoint(source="random weights", config=config, tensors=tensors)


def _matrix(name: str, shape: tuple[int, int], generator: np.random.Generator) -> Stored:
    """Q4_0: blocks of 32 codes behind a scale in float16."""
    rows, columns = shape
    count = rows * columns // Q4_0.block
    blocks = generator.integers(0, 256, (count, Q4_0.block_bytes), dtype=np.uint8)
    scale = np.array([0.2 / columns**0.5], dtype=np.float16)
    blocks[:, :2] = scale.view(np.uint8)
    return stored(name, Q4_0, shape, blocks.reshape(-1))


def _ones(name: str, count: int) -> Stored:
    return stored(name, F32, (count,), np.ones(count, dtype=np.float32).view(np.uint8))
