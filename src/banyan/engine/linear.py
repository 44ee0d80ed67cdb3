"""Linears: matrices that know how to multiply and how many bytes they are.

A block cannot tell them apart. ``Dense`` is the plain one and the oracle of the others;
``Reordered`` is the same matrix in the processor library's own block order, twice as fast for one
row; ``Int8`` and ``Packed4`` keep quantised weights quantised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from banyan.engine import stored as formats
from banyan.engine.dequantise import affine_rows, dequantise
from banyan.engine.four_bit import GRAIN, OUTPUTS, FourBit, make_four_bit
from banyan.engine.stored import Stored, joined

CPU: Final = torch.device("cpu")
ROWS_HINT: Final = 16  # the batch the block order is chosen for; others run as well in it
WIDE_INT8_ROWS: Final = 2  # from so many rows a bf16 product is faster than one in int8


class Linear(Protocol):
    """y = x W^T + b."""

    @property
    def out_features(self) -> int: ...

    @property
    def size_bytes(self) -> int: ...

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out] in the type of ``x``."""
        ...


@dataclass(frozen=True, slots=True)
class Dense:
    """``weight`` [out, in] and ``bias`` [out] in the type of the activations."""

    weight: Tensor
    bias: Tensor | None = None

    @property
    def out_features(self) -> int:
        return int(self.weight.shape[0])

    @property
    def size_bytes(self) -> int:
        return _bytes(self.weight) + _bytes(self.bias)

    def __call__(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class Reordered:
    """A dense matrix in oneDNN's block order. ``weight`` is opaque: only its product is defined."""

    weight: Tensor
    bias: Tensor | None
    out_features: int
    size_bytes: int

    def __call__(self, x: Tensor) -> Tensor:
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return y


@dataclass(frozen=True, slots=True)
class Int8:
    """``weight`` int8 [out, in] times ``scale`` [out] of each row, rounded to nearest. ``wide`` is
    the same matrix in bf16 for ``WIDE_INT8_ROWS`` rows and more, where there is memory."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None = None
    wide: Linear | None = None

    @property
    def out_features(self) -> int:
        return int(self.weight.shape[0])

    @property
    def size_bytes(self) -> int:
        own = _bytes(self.weight) + _bytes(self.scale) + _bytes(self.bias)
        return own + (self.wide.size_bytes if self.wide is not None else 0)

    def __call__(self, x: Tensor) -> Tensor:
        flat = x.flatten(end_dim=-2).contiguous()
        if self.wide is not None and flat.shape[0] >= WIDE_INT8_ROWS:
            return self.wide(x)
        y = torch._weight_int8pack_mm(flat, self.weight, self.scale)
        return _shaped(y, x, self.bias)


@dataclass(frozen=True, slots=True)
class Packed4:
    """Four-bit codes; grains of 32 share a scale and a zero in bf16.

    ``wide`` is the same matrix in bf16 for batches of so many rows that it is faster, where there
    is memory. ``margins``: columns before and after its own that the outer grains of a cut hold;
    they belong to neighbours and are given zeros.
    """

    codes: FourBit
    out_features: int
    bias: Tensor | None = None
    wide: Linear | None = None
    margins: tuple[int, int] = (0, 0)

    @property
    def size_bytes(self) -> int:
        own = self.codes.size_bytes + _bytes(self.bias)
        return own + (self.wide.size_bytes if self.wide is not None else 0)

    def __call__(self, x: Tensor) -> Tensor:
        flat = (x if x.dim() == 2 else x.flatten(end_dim=-2)).contiguous()
        if self.wide is not None and flat.shape[0] >= self.codes.wide_rows:
            return self.wide(x)
        if self.margins != (0, 0):
            flat = functional.pad(flat, self.margins)
        return _shaped(self.codes(flat), x, self.bias)


@dataclass(frozen=True, slots=True)
class Stacked:
    """Matrices of different kinds that share their input; their outputs stand side by side."""

    parts: tuple[Linear, ...]

    @property
    def out_features(self) -> int:
        return sum(part.out_features for part in self.parts)

    @property
    def size_bytes(self) -> int:
        return sum(part.size_bytes for part in self.parts)

    def __call__(self, x: Tensor) -> Tensor:
        return torch.cat([part(x) for part in self.parts], dim=-1)


def make_dense(
    matrices: Sequence[Stored],
    bias: Tensor | None,
    dtype: torch.dtype,
    *,
    reorder: bool = True,
    device: torch.device = CPU,
) -> Linear:
    """The matrices stacked by rows and multiplied out in ``dtype``."""
    tables = [dequantise(matrix, dtype) for matrix in matrices]
    weight = tables[0] if len(tables) == 1 else torch.cat(tables)
    bias = None if bias is None else bias.to(device, dtype)
    if device != CPU:
        return Dense(weight.to(device), bias)
    if not reorder or not torch.backends.mkldnn.is_available():
        return Dense(weight, bias)
    return Reordered(
        torch.ops.mkldnn._reorder_linear_weight(weight, ROWS_HINT),
        bias,
        int(weight.shape[0]),
        _bytes(weight) + _bytes(bias),
    )


def make_packed(matrices: Sequence[Stored], bias: Tensor | None, *, copy: bool) -> Linear:
    """The matrices stacked by rows, each kept as small as its format allows, for bf16 input.

    Runs of matrices that pack alike become one product. ``copy`` adds the bf16 copy.
    """
    groups: list[list[Stored]] = []
    for matrix in matrices:
        if groups and _can_join(groups[-1][-1], matrix):
            groups[-1].append(matrix)
        else:
            groups.append([matrix])
    sizes = [sum(matrix.shape[0] for matrix in group) for group in groups]
    biases = [None] * len(groups) if bias is None else bias.to(torch.bfloat16).split(sizes)
    parts = [
        _make_one(joined(group), part_bias, copy=copy)
        for group, part_bias in zip(groups, biases, strict=True)
    ]
    return parts[0] if len(parts) == 1 else Stacked(tuple(parts))


def _can_join(left: Stored, right: Stored) -> bool:
    return left.format == right.format


def _make_one(matrix: Stored, bias: Tensor | None, *, copy: bool) -> Linear:
    if matrix.format in formats.FOUR_BIT and matrix.shape[0] % OUTPUTS == 0:
        return _make_packed4(matrix, bias, copy=copy)
    if matrix.format in formats.PLAIN:
        return make_dense([matrix], bias, torch.bfloat16)
    return _make_int8(matrix, bias, copy=copy)


def _make_packed4(matrix: Stored, bias: Tensor | None, *, copy: bool) -> Packed4:
    affine = affine_rows(matrix)
    rows = matrix.shape[0]
    codes = affine.codes.reshape(rows, -1)
    zero = 8 * affine.scale if affine.offset is None else affine.offset + 8 * affine.scale
    before = matrix.lead % GRAIN
    return Packed4(
        make_four_bit(codes, affine.scale[..., 0].bfloat16(), zero[..., 0].bfloat16()),
        rows,
        bias,
        make_dense([matrix], bias, torch.bfloat16) if copy else None,
        (before, codes.shape[1] - before - matrix.shape[1]),
    )


def _make_int8(matrix: Stored, bias: Tensor | None, *, copy: bool) -> Int8:
    weight = dequantise(matrix)
    scale = (weight.abs().amax(dim=-1, keepdim=True) / 127).clamp_min(1e-12).to(torch.bfloat16)
    codes = (weight / scale.float()).round().clamp(-127, 127).to(torch.int8)
    wide = make_dense([matrix], bias, torch.bfloat16) if copy else None
    return Int8(codes, scale.view(-1), bias, wide)


def _bytes(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.numel() * tensor.element_size()


def _shaped(y: Tensor, x: Tensor, bias: Tensor | None) -> Tensor:
    if x.dim() != 2:
        y = y.view(*x.shape[:-1], y.shape[-1])
    return y if bias is None else y + bias
