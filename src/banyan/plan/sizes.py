"""Sizes: what a rank's share of a model takes, to the byte, before anything is loaded.

Weights as they lie in memory in each precision, keys and values by the page, activations by the
rows of a step. Norms and an expert's router are kept in float32 and counted; biases (a few
kilobytes) are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from banyan.core.layout import Interval, ModelShape, Share
from banyan.plan.shares import GRAIN

WeightKind = Literal["fp32", "fp16", "bf16", "int8", "packed", "packed+copy"]

DENSE_BYTES: Final[dict[WeightKind, int]] = {"fp32": 4, "fp16": 2, "bf16": 2}
GRAIN_BYTES: Final = GRAIN // 2 + 4
"""Packed: four bits a number, and of each grain a scale and a zero in bf16."""
SCALE_BYTES: Final = 2
"""int8: a scale in bf16 for each row."""
WIDE_ROWS: Final = 6
"""Rows of a step from which the bf16 copy beside packed weights is read instead of them."""
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


@dataclass(frozen=True, slots=True)
class Matrix:
    """``rows`` outputs of a product with those ``columns`` of its input."""

    rows: int
    columns: Interval

    @property
    def numbers(self) -> int:
        return self.rows * self.columns.size

    def size_bytes(self, kind: WeightKind) -> int:
        """Packed matrices keep the whole of a grain that their cut goes through."""
        if kind in DENSE_BYTES:
            return self.numbers * DENSE_BYTES[kind]
        if kind == "int8":
            return self.numbers + self.rows * SCALE_BYTES
        grains = -(-self.columns.end // GRAIN) - self.columns.begin // GRAIN
        packed = self.rows * grains * GRAIN_BYTES
        return packed + (self.numbers * 2 if kind == "packed+copy" else 0)


def attention_matrices(shape: ModelShape, share: Share) -> tuple[Matrix, ...]:
    """Queries, keys and values in one; the output."""
    width = shape.head_dim
    rows = (share.heads.size + 2 * len(share.kv_heads)) * width
    own = Interval(share.heads.begin * width, share.heads.end * width)
    return Matrix(rows, Interval(0, shape.hidden)), Matrix(shape.hidden, own)


def network_matrices(shape: ModelShape, share: Share) -> tuple[Matrix, ...]:
    """Of a feed-forward network, or of one expert: gate and up in one; down."""
    gate_up = Matrix(2 * share.ffn.size, Interval(0, shape.hidden))
    return gate_up, Matrix(shape.hidden, share.ffn)


def networks(shape: ModelShape, share: Share) -> int:
    """Feed-forward networks of a layer that the share has: one, or its experts."""
    return share.experts.size if shape.experts else 1


@lru_cache(maxsize=REMEMBERED)
def layer_parameters(shape: ModelShape, share: Share) -> int:
    """Numbers in the matrices of one layer of a share."""
    network = sum(matrix.numbers for matrix in network_matrices(shape, share))
    attention = sum(matrix.numbers for matrix in attention_matrices(shape, share))
    return attention + network * networks(shape, share) + shape.hidden * shape.experts


def active_parameters(shape: ModelShape, share: Share) -> int:
    """Those of them that one token meets: all, or those of its experts."""
    every = layer_parameters(shape, share)
    if not shape.experts:
        return every
    network = sum(matrix.numbers for matrix in network_matrices(shape, share))
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
def layer_bytes(shape: ModelShape, share: Share, kind: WeightKind) -> int:
    """Bytes of one layer of a share."""
    attention = sum(matrix.size_bytes(kind) for matrix in attention_matrices(shape, share))
    network = sum(matrix.size_bytes(kind) for matrix in network_matrices(shape, share))
    floats = (2 + shape.experts) * shape.hidden * FLOAT_BYTES
    return attention + network * networks(shape, share) + floats


def weight_bytes(shape: ModelShape, share: Share, kind: WeightKind) -> int:
    """Bytes of a share's weights."""
    ends = sum(matrix.size_bytes(kind) for matrix in _ends(shape, share))
    norm = shape.hidden * FLOAT_BYTES if share.layers.end == shape.layers else 0
    return share.layers.size * layer_bytes(shape, share, kind) + ends + norm


def read_bytes(shape: ModelShape, share: Share, kind: WeightKind, *, rows: int) -> int:
    """Bytes of weights that a step of ``rows`` tokens reads: of the embedding only rows, of experts
    those that are expected to meet a token, of two copies the one that is used."""
    if kind == "packed+copy":
        kind = "packed" if rows < WIDE_ROWS else "bf16"
    layer = float(layer_bytes(shape, share, kind))
    if shape.experts:
        network = sum(matrix.size_bytes(kind) for matrix in network_matrices(shape, share))
        missed = (1 - shape.experts_per_token / shape.experts) ** rows
        layer -= network * networks(shape, share) * missed
    head = 0
    if share.layers.end == shape.layers:
        head = Matrix(share.vocab.size, Interval(0, shape.hidden)).size_bytes(kind)
    return int(share.layers.size * layer) + head


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
    page_tokens: int = PAGE_TOKENS,
    frees_windows: bool = True,
) -> int:
    """Bytes of keys and values of ``sequences`` of ``tokens`` each, in whole pages. Layers with a
    sliding window keep no more than it, unless ``frees_windows`` is off: the engine's pages belong
    to all layers alike."""
    pages = -(-tokens // page_tokens)
    kept = share.layers.size * pages * page_tokens
    if shape.windows and frees_windows:
        kept = page_tokens * sum(
            pages if window is None else min(pages, -(-window // page_tokens))
            for window in shape.windows[share.layers.begin : share.layers.end]
        )
    return 2 * kept * len(share.kv_heads) * shape.head_dim * item_bytes * sequences


def activation_bytes(
    shape: ModelShape, share: Share, *, rows: int, logit_rows: int, item_bytes: int = 2
) -> int:
    """Bytes alive at the widest point of a step of ``rows`` tokens: the stream, what is normed, the
    widest products, and the logits."""
    qkv = (share.heads.size + 2 * len(share.kv_heads)) * shape.head_dim
    widest = max(qkv + share.heads.size * shape.head_dim, 2 * share.ffn.size)
    stream = rows * shape.hidden * (FLOAT_BYTES + 2 * item_bytes)
    is_last = share.layers.end == shape.layers
    logits = logit_rows * share.vocab.size * FLOAT_BYTES if is_last else 0
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
        kv=kv_bytes(
            shape,
            share,
            tokens=tokens,
            sequences=sequences,
            item_bytes=item,
            frees_windows=False,
        ),
        activations=activation_bytes(
            shape, share, rows=step_rows, logit_rows=sequences, item_bytes=item
        ),
    )


def in_words(count: float) -> str:
    """``6.85 GB (6.38 GiB)``."""
    return f"{count / 1e9:.2f} GB ({count / 2**30:.2f} GiB)"


def _ends(shape: ModelShape, share: Share) -> Iterator[Matrix]:
    table = Matrix(share.vocab.size, Interval(0, shape.hidden))
    is_first, is_last = share.layers.begin == 0, share.layers.end == shape.layers
    if is_first:
        yield table
    if is_last and not (is_first and shape.tied):
        yield table
