"""Matrices: those that a share of a model is made of, and their bytes in each precision.

The sizes are those of the engine's own linears (``engine/linear.py``), to the byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from banyan.core.layout import Interval, ModelShape, Others, Share
from banyan.plan.shares import GRAIN

WeightKind = Literal["fp32", "fp16", "bf16", "int8", "packed", "packed+copy"]

DENSE_BYTES: Final[dict[WeightKind, int]] = {"fp32": 4, "fp16": 2, "bf16": 2}
GRAIN_BYTES: Final = GRAIN // 2 + 4
"""Packed: four bits a number, and of each grain a scale and a zero in bf16 (the engine's own kernel
keeps no zeros of formats that have none, which is not known of every host)."""
PACKED_ROWS: Final = 16
"""What cannot be dealt in so many rows is not packed but kept in int8."""
SCALE_BYTES: Final = 2
"""int8: a scale in bf16 for each row of a matrix, or for each key or value of a head."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """``rows`` outputs of a product with those ``columns`` of its input."""

    rows: int
    columns: Interval

    @property
    def numbers(self) -> int:
        return self.rows * self.columns.size

    def size_bytes(self, kind: str) -> int:
        """Packed matrices keep the whole of a grain that their cut goes through."""
        if kind in DENSE_BYTES:
            return self.numbers * DENSE_BYTES[kind]
        if kind == "int8":
            return self.numbers + self.rows * SCALE_BYTES
        grains = -(-self.columns.end // GRAIN) - self.columns.begin // GRAIN
        return self.rows * grains * GRAIN_BYTES


@dataclass(frozen=True, slots=True)
class Product:
    """Matrices that share their input and are multiplied as one, by name."""

    parts: tuple[tuple[str, Matrix], ...]
    bias: bool = False

    @property
    def numbers(self) -> int:
        return sum(matrix.numbers for _, matrix in self.parts)

    def size_bytes(self, kind: WeightKind, others: Others = ()) -> int:
        """``others``: those of the parts that are kept in another form than packed."""
        if kind not in ("packed", "packed+copy"):
            return _dense_bytes(self.parts, kind, bias=self.bias)
        different = dict(others)
        total = 0
        for other, run in groupby(self.parts, key=lambda part: different.get(part[0], "")):
            total += _packed_bytes(list(run), other, copy=kind == "packed+copy", bias=self.bias)
        return total


def _dense_bytes(parts: Sequence[tuple[str, Matrix]], kind: WeightKind, *, bias: bool) -> int:
    item = DENSE_BYTES["fp32" if kind == "fp32" else "bf16"]
    biases = sum(matrix.rows for _, matrix in parts) * item if bias else 0
    return sum(matrix.size_bytes(kind) for _, matrix in parts) + biases


def _packed_bytes(
    parts: Sequence[tuple[str, Matrix]], other: str, *, copy: bool, bias: bool
) -> int:
    """Matrices stacked to one that is packed, or of the kind ``other``; a bf16 copy has the biases
    once more."""
    stacked = Matrix(sum(matrix.rows for _, matrix in parts), parts[0][1].columns)
    kind = other or ("int8" if stacked.rows % PACKED_ROWS else "packed")
    own = stacked.size_bytes(kind) + (stacked.rows * 2 if bias else 0)
    if not copy or kind == "bf16":
        return own
    return own + _dense_bytes(parts, "bf16", bias=bias)


def attention_products(shape: ModelShape, share: Share) -> tuple[Product, ...]:
    """Queries, keys and values in one; the output."""
    width, inputs = shape.head_dim, Interval(0, shape.hidden)
    own = Interval(share.heads.begin * width, share.heads.end * width)
    kv = Matrix(len(share.kv_heads) * width, inputs)
    qkv = (("q", Matrix(own.size, inputs)), ("k", kv), ("v", kv))
    output = (("o", Matrix(shape.hidden, own)),)
    return Product(qkv, shape.qkv_bias), Product(output, shape.output_bias)


def network_products(shape: ModelShape, share: Share) -> tuple[Product, ...]:
    """Of a feed-forward network, or of one expert: gate and up in one; down."""
    wide = Matrix(share.ffn.size, Interval(0, shape.hidden))
    gate_up = (("gate", wide), ("up", wide))
    down = (("down", Matrix(shape.hidden, share.ffn)),)
    return Product(gate_up, shape.ffn_bias), Product(down, shape.ffn_bias)
