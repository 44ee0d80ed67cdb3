"""Cut: a rank's share of a checkpoint, as a smaller checkpoint.

Matrices that spread (q, k, v, gate, up, embedding, head) are cut by rows, those that gather (o,
down) by columns, norms and routers are kept whole (Shoeybi et al. 2019). Of experts the rank's own
are kept, under the numbers they have in the whole model. What gathers is summed over the ranks, so
all but the first have zeros for its bias. Nothing is decoded: whatever loads or sends a
checkpoint does the same with a share of one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from banyan.core.errors import CheckpointInvalid
from banyan.core.layout import Interval, Share
from banyan.engine.checkpoint import Checkpoint
from banyan.engine.config import ModelConfig
from banyan.engine.stored import Stored

_LAYER: Final = re.compile(r"^layers\.(\d+)\.(experts\.(\d+)\.)?(\w+)\.(weight|bias)$")


def cut(checkpoint: Checkpoint, share: Share) -> Checkpoint:
    """What ``share`` names of ``checkpoint``; its layers are numbered from 0.

    ``embedding`` is there in the first stage, ``norm`` and ``head`` in the last (a tied head is the
    embedding). Raises ``CheckpointInvalid`` for a tensor that is not of the size its configuration
    says, and for a share of another model.
    """
    config = checkpoint.config
    _check_share(config, share)
    ends = _ends(checkpoint, share)
    tensors: dict[str, Stored] = {}
    for name, tensor in checkpoint.tensors.items():
        match = _LAYER.match(name)
        if match is None:
            if name in ends:
                part = tensor if name == "norm" else _rows(tensor, config.vocab, share.vocab)
                tensors[name] = part
        elif _is_in(match[1], share.layers) and (not match[3] or _is_in(match[3], share.experts)):
            layer = int(match[1]) - share.layers.begin
            part = _part(match[4], match[5], tensor, config, share)
            tensors[f"layers.{layer}.{match[2] or ''}{match[4]}.{match[5]}"] = part
    return replace(
        checkpoint,
        config=cut_config(config, share),
        tensors=tensors,
        has_start=share.layers.begin == 0,
        has_end=share.layers.end == config.layers,
    )


def cut_config(config: ModelConfig, share: Share) -> ModelConfig:
    """The architecture of a share: that of a smaller model with the same stream between layers."""
    layers = slice(share.layers.begin, share.layers.end)
    return replace(
        config,
        layers=share.layers.size,
        heads=share.heads.size,
        kv_heads=len(share.kv_heads),
        ffn=share.ffn.size,
        vocab=share.vocab.size,
        layer_ropes=config.layer_ropes[layers],
        windows=config.windows[layers],
    )


def _check_share(config: ModelConfig, share: Share) -> None:
    kv_heads = range(config.kv_heads)
    parts = (
        (share.layers, config.layers),
        (share.heads, config.heads),
        (share.ffn, config.ffn),
        (share.vocab, config.vocab),
        (share.experts, config.experts),
    )
    fits = all(0 <= part.begin <= part.end <= total for part, total in parts)
    if not fits or not share.kv_heads or not all(head in kv_heads for head in share.kv_heads):
        raise CheckpointInvalid(f"{share} is no share of a model of {config.shape}.")


def _is_in(number: str, interval: Interval) -> bool:
    return interval.begin <= int(number) < interval.end


def _ends(checkpoint: Checkpoint, share: Share) -> set[str]:
    """The tensors outside of layers that this share needs."""
    ends = {"embedding"} if share.layers.begin == 0 else set()
    if share.layers.end == checkpoint.config.layers:
        ends |= {"norm", "embedding" if checkpoint.config.tied else "head"}
    return ends


def _part(part: str, kind: str, tensor: Stored, config: ModelConfig, share: Share) -> Stored:
    """One rank's part of a layer's tensor."""
    width = config.head_dim
    if part == "q":
        return _rows(tensor, config.heads * width, _scaled(share.heads, width))
    if part in ("k", "v"):
        return _heads(tensor, config.kv_heads, share.kv_heads, width)
    if part in ("gate", "up"):
        return _rows(tensor, config.ffn, share.ffn)
    if part in ("o", "down"):
        if kind == "bias":
            is_first = share.heads.begin == 0
            return tensor if is_first else replace(tensor, data=np.zeros_like(tensor.data))
        if part == "o":
            return _columns(tensor, config.heads * width, _scaled(share.heads, width))
        return _columns(tensor, config.ffn, share.ffn)
    return tensor


def _scaled(interval: Interval, unit: int) -> Interval:
    return Interval(interval.begin * unit, interval.end * unit)


def _rows(tensor: Stored, total: int, interval: Interval) -> Stored:
    _check(tensor, tensor.shape[0], total)
    return tensor.rows(interval)


def _columns(tensor: Stored, total: int, interval: Interval) -> Stored:
    _check(tensor, tensor.shape[-1], total)
    return tensor.columns(interval)


def _heads(tensor: Stored, total: int, heads: Sequence[int], width: int) -> Stored:
    """The rows of some heads, of which one may be wanted several times."""
    _check(tensor, tensor.shape[0], total * width)
    first = heads[0]
    if list(heads) == list(range(first, first + len(heads))):
        return tensor.rows(Interval(first * width, (first + len(heads)) * width))
    rows = [np.arange(head * width, (head + 1) * width) for head in heads]
    return tensor.reordered(np.concatenate(rows))


def _check(tensor: Stored, found: int, expected: int) -> None:
    if found != expected:
        raise CheckpointInvalid(
            f"Tensor {tensor.name} is {tensor.shape}; the configuration says {expected}."
        )
