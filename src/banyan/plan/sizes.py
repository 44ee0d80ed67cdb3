"""Sizes: what a rank's share of a model takes, to the byte, before anything is loaded.

Weights as they lie in memory in each precision, keys and values by the page, activations by the
rows of a step. Norms are kept in float32 and counted; biases (a few kilobytes) are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from banyan.core.layout import ModelShape, Share
from banyan.plan.shares import GRAIN

WeightKind = Literal["fp32", "fp16", "bf16", "int8", "packed", "packed+copy"]

ITEM_BYTES: Final[dict[WeightKind, float]] = {
    "fp32": 4.0,
    "fp16": 2.0,
    "bf16": 2.0,
    "int8": 1.0,
    "packed": 0.5 + 4 / GRAIN,
    "packed+copy": 2.5 + 4 / GRAIN,
}
"""Bytes a number of a matrix: packed is 4 bits, and a scale and a zero in bf16 for every GRAIN."""
PAGE_TOKENS: Final = 16
NORM_BYTES: Final = 4
LOGIT_BYTES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Bytes on one rank."""

    weights: int
    kv: int
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.kv + self.activations


def layer_parameters(shape: ModelShape, share: Share) -> int:
    """Numbers in the matrices of one layer of a share."""
    width = shape.head_dim
    attention = shape.hidden * width * (2 * share.heads.size + 2 * len(share.kv_heads))
    network = 3 * shape.hidden * share.ffn.size
    if shape.experts:
        network = network * share.experts.size + shape.hidden * shape.experts
    return attention + network


def active_parameters(shape: ModelShape, share: Share) -> int:
    """Those of them that one token meets: all, or those of its experts."""
    if not shape.experts:
        return layer_parameters(shape, share)
    dense = layer_parameters(shape, share) - 3 * shape.hidden * share.ffn.size * share.experts.size
    used = shape.experts_per_token * share.experts.size / shape.experts
    return dense + int(3 * shape.hidden * share.ffn.size * used)


def end_parameters(shape: ModelShape, share: Share) -> int:
    """Numbers of the embedding (first stage) and of the head (last stage). A tied model in one
    stage has one matrix for both."""
    table = share.vocab.size * shape.hidden
    first, last = share.layers.begin == 0, share.layers.end == shape.layers
    if first and last and shape.tied:
        return table
    return table * (first + last)


def weight_bytes(shape: ModelShape, share: Share, kind: WeightKind) -> int:
    """Bytes of a share's weights."""
    numbers = share.layers.size * layer_parameters(shape, share) + end_parameters(shape, share)
    norms = 2 * share.layers.size * shape.hidden
    norms += shape.hidden if share.layers.end == shape.layers else 0
    return int(numbers * ITEM_BYTES[kind]) + norms * NORM_BYTES


def kv_bytes(
    shape: ModelShape,
    share: Share,
    *,
    tokens: int,
    sequences: int = 1,
    item_bytes: int = 2,
    page_tokens: int = PAGE_TOKENS,
) -> int:
    """Bytes of keys and values of ``sequences`` of ``tokens`` each, in whole pages; layers with a
    sliding window keep no more than it."""
    total = 0
    for layer in range(share.layers.begin, share.layers.end):
        window = shape.windows[layer] if shape.windows else None
        kept = tokens if window is None else min(tokens, window)
        pages = -(-kept // page_tokens)
        total += 2 * pages * page_tokens * len(share.kv_heads) * shape.head_dim * item_bytes
    return total * sequences


def activation_bytes(
    shape: ModelShape, share: Share, *, rows: int, logit_rows: int, item_bytes: int = 2
) -> int:
    """Bytes alive at the widest point of a step of ``rows`` tokens: the stream, what is normed, the
    widest products, and the logits."""
    qkv = (share.heads.size + 2 * len(share.kv_heads)) * shape.head_dim
    widest = max(qkv + share.heads.size * shape.head_dim, 2 * share.ffn.size)
    stream = rows * shape.hidden * (4 + 2 * item_bytes)
    logits = logit_rows * share.vocab.size * LOGIT_BYTES
    return stream + rows * widest * item_bytes + logits


def need(
    shape: ModelShape,
    share: Share,
    kind: WeightKind,
    *,
    tokens: int,
    sequences: int,
    step_rows: int,
) -> Need:
    """Everything a rank must hold for ``sequences`` of ``tokens`` at a time."""
    item = 4 if kind == "fp32" else 2
    return Need(
        weights=weight_bytes(shape, share, kind),
        kv=kv_bytes(shape, share, tokens=tokens, sequences=sequences, item_bytes=item),
        activations=activation_bytes(
            shape, share, rows=step_rows, logit_rows=sequences, item_bytes=item
        ),
    )


def in_words(count: float) -> str:
    """``6.85 GB (6.38 GiB)``."""
    return f"{count / 1e9:.2f} GB ({count / 2**30:.2f} GiB)"
