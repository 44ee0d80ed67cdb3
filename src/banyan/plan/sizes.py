"""Sizes: what a rank's share of a model takes, to the byte, before anything is loaded.

Weights as they lie in memory in each precision, keys and values by the page, activations by the
rows of a step. It is the engine's own arithmetic: norms and routers in float32 and biases count,
and so do both copies of a tied model's table (its rows are read from the file as tokens need them,
logits need it as a matrix).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from banyan.core.layout import WIDE_ROWS, Interval, ModelShape, Others, Share
from banyan.plan.budget import gathered_bytes
from banyan.plan.matrices import (
    Matrix,
    Product,
    WeightKind,
    attention_products,
    network_products,
)

PAGE_TOKENS: Final = 16
FLOAT_BYTES: Final = 4
"""Norms, routers, logits."""


REMEMBERED: Final = 4096
"""Shares whose layers are remembered: a search asks for the same ones again and again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Bytes on one rank. ``streamed`` are of its weights but not among them: they pass through in
    every step."""

    weights: int
    kv: int
    activations: int
    streamed: int = 0

    @property
    def total(self) -> int:
        return self.weights + self.kv + self.activations


def networks(shape: ModelShape, share: Share) -> int:
    """Feed-forward networks of a layer that the share has: one, or its experts."""
    return share.experts.size if shape.experts else 1


@lru_cache(maxsize=REMEMBERED)
def layer_parameters(shape: ModelShape, share: Share) -> int:
    """Numbers in the matrices of one layer of a share."""
    network = sum(product.numbers for product in network_products(shape, share))
    attention = sum(product.numbers for product in attention_products(shape, share))
    return attention + network * networks(shape, share) + shape.hidden * shape.experts


def active_parameters(shape: ModelShape, share: Share) -> int:
    """Those of them that one token meets: all, or those of its experts."""
    every = layer_parameters(shape, share)
    if not shape.experts:
        return every
    network = sum(product.numbers for product in network_products(shape, share))
    idle = 1 - shape.experts_per_token / shape.experts
    return every - int(network * networks(shape, share) * idle)


def head_parameters(shape: ModelShape, share: Share) -> int:
    """Numbers of the matrix that makes logits, in the last stage."""
    return share.vocab.size * shape.hidden if share.layers.end == shape.layers else 0


def end_parameters(shape: ModelShape, share: Share) -> int:
    """Numbers of the embedding (first stage) and of the head (last stage). A tied model in one
    stage has one matrix for both."""
    return sum(matrix.numbers for matrix in _ends(shape, share))


@lru_cache(maxsize=REMEMBERED)
def layer_bytes(shape: ModelShape, share: Share, kind: WeightKind, others: Others = ()) -> int:
    """Bytes of one layer of a share, of which ``others`` are not packed."""
    attention = sum(
        product.size_bytes(kind, others) for product in attention_products(shape, share)
    )
    network = _network_bytes(shape, share, kind, others)
    norms = (4 if shape.sandwich_norms else 2) * shape.hidden
    if shape.qk_norm:
        norms += (share.heads.size + len(share.kv_heads)) * shape.head_dim
    floats = norms + shape.experts * shape.hidden
    return attention + network * networks(shape, share) + floats * FLOAT_BYTES


@lru_cache(maxsize=REMEMBERED)
def layers_bytes(shape: ModelShape, share: Share, kind: WeightKind) -> int:
    """Bytes of all layers of a share."""
    return sum(
        count * layer_bytes(shape, share, kind, others)
        for others, count in _others_of(shape, share.layers).items()
    )


def weight_bytes(shape: ModelShape, share: Share, kind: WeightKind) -> int:
    """Bytes of a share's weights."""
    table = _table_bytes(shape, share, kind) if share.layers.begin == 0 else 0
    head = 0
    if share.layers.end == shape.layers:
        head = _head(shape, share).size_bytes(kind, _head_others(shape))
        head += shape.hidden * FLOAT_BYTES
    return table + layers_bytes(shape, share, kind) + head


def computed_kind(kind: WeightKind, rows: int, wide_rows: int = WIDE_ROWS) -> WeightKind:
    """In what a step of ``rows`` tokens is computed: of two copies the one that is used."""
    if kind == "packed+copy":
        return "packed" if rows < wide_rows else "bf16"
    return kind


def read_bytes(shape: ModelShape, share: Share, kind: WeightKind, *, rows: int) -> int:
    """Bytes of weights that a step of ``rows`` tokens reads: of the embedding only rows, of experts
    those that are expected to meet a token, of two copies the one that is used."""
    kind = computed_kind(kind, rows)
    layers = float(layers_bytes(shape, share, kind))
    if shape.experts:
        missed = (1 - shape.experts_per_token / shape.experts) ** rows
        for others, count in _others_of(shape, share.layers).items():
            network = _network_bytes(shape, share, kind, others)
            layers -= count * network * networks(shape, share) * missed
    head = 0
    if share.layers.end == shape.layers:
        head = _head(shape, share).size_bytes(kind, _head_others(shape))
    return int(layers) + head


def seen_positions(shape: ModelShape, layers: Interval, tokens: int) -> int:
    """Positions that a token after ``tokens`` others attends to, summed over ``layers``."""
    if not shape.windows:
        return layers.size * tokens
    windows = shape.windows[layers.begin : layers.end]
    return sum(tokens if window is None else min(tokens, window) for window in windows)


def kv_bytes(
    shape: ModelShape,
    share: Share,
    *,
    tokens: int,
    sequences: int = 1,
    item_bytes: int = 2,
    scale_bytes: int = 0,
    page_tokens: int = PAGE_TOKENS,
    frees_windows: bool = True,
) -> int:
    """Bytes of keys and values of ``sequences`` of ``tokens`` each, in whole pages: of a number,
    and of the scale (int8: ``SCALE_BYTES``) that those of a token and head share. Layers with a
    sliding window keep no more than it, unless ``frees_windows`` is off: the engine's pages belong
    to all layers alike."""
    pages = -(-tokens // page_tokens)
    kept = share.layers.size * pages * page_tokens
    if shape.windows and frees_windows:
        kept = page_tokens * sum(
            pages if window is None else min(pages, -(-window // page_tokens))
            for window in shape.windows[share.layers.begin : share.layers.end]
        )
    one = shape.head_dim * item_bytes + scale_bytes
    return 2 * kept * len(share.kv_heads) * one * sequences


def activation_bytes(
    shape: ModelShape, share: Share, *, rows: int, logit_rows: int, item_bytes: int = 2
) -> int:
    """Bytes alive at the widest point of a step of ``rows`` tokens, beside what attention gathers:
    in a layer the stream, what is normed of it, what both halves of the layer add to it, and the
    widest products; or at the end the stream and the logits."""
    heads, kv_heads = share.heads.size, len(share.kv_heads)
    projected = (heads + 2 * kv_heads) + (heads + kv_heads) + heads
    widest = max(projected * shape.head_dim, 3 * share.ffn.size)
    layer = rows * shape.hidden * (FLOAT_BYTES + 3 * item_bytes) + rows * widest * item_bytes
    if shape.experts:  # each takes its own rows, and a weighted sum is made of what they give
        layer += rows * shape.hidden * (FLOAT_BYTES + item_bytes)
    if share.layers.end < shape.layers:
        return layer
    cast = 0 if item_bytes == FLOAT_BYTES else item_bytes
    end = (rows + logit_rows) * shape.hidden * FLOAT_BYTES
    end += logit_rows * (shape.hidden + share.vocab.size) * (FLOAT_BYTES + cast)
    return max(layer, end)


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
    kv = kv_bytes(
        shape,
        share,
        tokens=tokens,
        sequences=sequences,
        item_bytes=item,
        frees_windows=False,
    )
    activations = activation_bytes(
        shape, share, rows=step_rows, logit_rows=sequences, item_bytes=item
    )
    gathered = gathered_bytes(_alone(shape, share), kv=kv, tokens=tokens, item_bytes=item)
    return Need(weights=weight_bytes(shape, share, kind), kv=kv, activations=activations + gathered)


@lru_cache(maxsize=REMEMBERED)
def _alone(shape: ModelShape, share: Share) -> ModelShape:
    """What a share is by itself."""
    return replace(
        shape,
        layers=share.layers.size,
        heads=share.heads.size,
        kv_heads=len(share.kv_heads),
    )


def in_words(count: float) -> str:
    """``6.85 GB (6.38 GiB)``."""
    return f"{count / 1e9:.2f} GB ({count / 2**30:.2f} GiB)"


def duration_in_words(seconds: float) -> str:
    """``1.49 s``, ``26.3 ms``."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def _network_bytes(shape: ModelShape, share: Share, kind: WeightKind, others: Others) -> int:
    return sum(product.size_bytes(kind, others) for product in network_products(shape, share))


def _others_of(shape: ModelShape, layers: Interval) -> Counter[Others]:
    """How many of ``layers`` have which matrices that are not packed."""
    if not shape.others:
        return Counter({(): layers.size})
    return Counter(shape.others[layers.begin : layers.end])


def _table_bytes(shape: ModelShape, share: Share, kind: WeightKind) -> int:
    """The token table as its file has it; unknown files are taken to have it as the layers."""
    if shape.table_block is None:
        return Matrix(share.vocab.size, Interval(0, shape.hidden)).size_bytes(_without_copy(kind))
    return (
        share.vocab.size
        * (shape.hidden // shape.table_block.numbers)
        * shape.table_block.size_bytes
    )


def _without_copy(kind: WeightKind) -> WeightKind:
    return "packed" if kind == "packed+copy" else kind


def _head(shape: ModelShape, share: Share) -> Product:
    return Product((("head", Matrix(share.vocab.size, Interval(0, shape.hidden))),))


def _head_others(shape: ModelShape) -> Others:
    return (("head", shape.head_kind),) if shape.head_kind else ()


def _ends(shape: ModelShape, share: Share) -> Iterator[Matrix]:
    table = Matrix(share.vocab.size, Interval(0, shape.hidden))
    is_first, is_last = share.layers.begin == 0, share.layers.end == shape.layers
    if is_first:
        yield table
    if is_last and not (is_first and shape.tied):
        yield table
