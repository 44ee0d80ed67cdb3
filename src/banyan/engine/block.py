"""One transformer block: a function of activations, weights, KV view, batch and communication.

Activations run in two types: the stream that layers add to stays float32, the products are made in
the weights' type. In bf16 that halves the divergence from float32 for three casts a layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from banyan.engine.batch import Batch, Comm, LayerKV
from banyan.engine.config import ModelConfig
from banyan.engine.native import rows
from banyan.engine.rope import Rotation, rotate
from banyan.engine.weights import LayerWeights


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockShape:
    """What one layer's arithmetic needs to know beside its weights."""

    heads: int
    kv_heads: int
    head_dim: int
    attention_scale: float
    window: int | None
    dtype: torch.dtype

    @classmethod
    def of_layer(cls, config: ModelConfig, layer: int, dtype: torch.dtype) -> BlockShape:
        return cls(
            heads=config.heads,
            kv_heads=config.kv_heads,
            head_dim=config.head_dim,
            attention_scale=config.attention_scale,
            window=config.windows[layer],
            dtype=dtype,
        )


@dataclass(frozen=True, slots=True)
class Step:
    """What all layers of one forward pass share."""

    batch: Batch
    comm: Comm


def block(
    x: Tensor, weights: LayerWeights, kv: LayerKV, step: Step, rotation: Rotation, shape: BlockShape
) -> Tensor:
    """Float32 [T, hidden] -> [T, hidden], in place: attention, then the feed-forward network."""
    normed = weights.attention_norm(x, shape.dtype)
    attended = attention(normed, weights, kv, step, rotation, shape)
    if weights.attention_post_norm is not None:
        attended = weights.attention_post_norm(attended.float())
    add_to_stream(x, attended)
    normed = weights.ffn_norm(x, shape.dtype)
    fed = step.comm.all_reduce(weights.ffn(normed))
    if weights.ffn_post_norm is not None:
        fed = weights.ffn_post_norm(fed.float())
    return add_to_stream(x, fed)


def add_to_stream(x: Tensor, y: Tensor) -> Tensor:
    """``x`` += ``y``, whose type may be another."""
    if rows.takes(y, torch.bfloat16) and rows.takes(x, torch.float32):
        return rows.add_to_stream(x, y)
    return x.add_(y)


def attention(
    x: Tensor, weights: LayerWeights, kv: LayerKV, step: Step, rotation: Rotation, shape: BlockShape
) -> Tensor:
    """Project, rotate q and k together, attend, project back and sum over the ranks."""
    rotated = shape.heads + shape.kv_heads
    qkv = weights.qkv(x).view(-1, rotated + shape.kv_heads, shape.head_dim)
    qk, v = qkv[:, :rotated], qkv[:, rotated:]
    if weights.qk_norm is not None:
        qk = weights.qk_norm(qk.float()).to(shape.dtype)
    qk = rotate(qk, rotation)
    q, k = qk[:, : shape.heads], qk[:, shape.heads :]
    scale, window = shape.attention_scale, shape.window
    attended = kv.attend(q, k, v, step.batch, scale=scale, window=window)
    return step.comm.all_reduce(weights.output(attended.reshape(x.shape[0], -1)))
