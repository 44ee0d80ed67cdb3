"""Turn stored bytes into numbers: the eleven number formats that are read.

Every block format is decoded into one affine form, ``codes * scale + offset``, which the packed
4-bit linears keep and everything else multiplies out. Layouts: ggml's block definitions; each is
compared bit for bit with the ``gguf`` package in the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from banyan.engine import stored as formats
from banyan.engine.stored import Format, Stored

CPU: Final = torch.device("cpu")
CHUNK: Final = 1 << 18  # numbers decoded at a time, so that the steps between stay in the cache

_PLAIN: Final[Mapping[Format, torch.dtype]] = {
    formats.F32: torch.float32,
    formats.F16: torch.float16,
    formats.BF16: torch.bfloat16,
}


@dataclass(frozen=True, slots=True)
class Affine:
    """``codes`` uint8 or int8 [blocks, groups, grain]; ``scale`` and ``offset`` float32
    [blocks, groups, 1]; a number is code * scale + offset (no offset: 0)."""

    codes: Tensor
    scale: Tensor
    offset: Tensor | None = None

    def numbers(self) -> Tensor:
        """Float32 [blocks, groups, grain]."""
        if self.offset is None:
            return self.codes * self.scale
        return torch.addcmul(self.offset, self.codes.float(), self.scale)


def dequantise(tensor: Stored, dtype: torch.dtype = torch.float32) -> Tensor:
    """The whole tensor as ``dtype`` [shape]; block formats are multiplied out in float32."""
    out = torch.empty(tensor.data.shape[0], _columns(tensor), dtype=dtype)
    for rows, numbers in _chunks(tensor):
        out[rows] = numbers
    return out.view(tensor.shape)


def dequantise_rows(tensor: Stored, rows: Tensor, device: torch.device = CPU) -> Tensor:
    """Some ``rows`` int64 [n] of a matrix as float32 [n, columns] on ``device``, where plain types
    are widened only then: fewer bytes go there."""
    return _numbers(tensor, torch.from_numpy(tensor.data[rows.numpy()])).to(device).float()


def affine_rows(tensor: Stored) -> Affine:
    """A block-quantised matrix as one ``Affine`` with blocks = its rows.

    Of a cut matrix it holds the whole groups of numbers that share a scale: where the cut begins
    inside one, the first ``tensor.lead % grain`` numbers are not the matrix's own.
    """
    affine = _DECODERS[tensor.format](_blocks(tensor.format, torch.from_numpy(tensor.data.copy())))
    rows, grain = tensor.shape[0], affine.codes.shape[-1]
    end = tensor.lead + tensor.shape[-1]
    groups = slice(tensor.lead // grain, -(-end // grain))
    return Affine(
        affine.codes.reshape(rows, -1, grain)[:, groups],
        affine.scale.reshape(rows, -1, 1)[:, groups],
        None if affine.offset is None else affine.offset.reshape(rows, -1, 1)[:, groups],
    )


def _columns(tensor: Stored) -> int:
    return tensor.shape[-1] if tensor.shape else 1


def _chunks(tensor: Stored) -> Iterator[tuple[slice, Tensor]]:
    step = max(1, CHUNK // _columns(tensor))
    for start in range(0, tensor.data.shape[0], step):
        rows = slice(start, start + step)
        # A copy, because torch takes no read-only memory; one chunk at a time it costs nothing.
        yield rows, _numbers(tensor, torch.from_numpy(np.array(tensor.data[rows])))


def _numbers(tensor: Stored, rows: Tensor) -> Tensor:
    """Some of its rows, uint8 [n, bytes] -> [n, columns], in the file's own type where that is
    plain."""
    fmt = tensor.format
    if fmt in _PLAIN:
        return rows.view(_PLAIN[fmt])
    whole = _DECODERS[fmt](_blocks(fmt, rows)).numbers().view(rows.shape[0], -1)
    return whole[:, tensor.lead : tensor.lead + _columns(tensor)]


def _blocks(fmt: Format, rows: Tensor) -> Tensor:
    return rows.view(-1, fmt.block_bytes)


def _half(blocks: Tensor, position: int) -> Tensor:
    """The float16 at byte ``position`` of each block, as float32 [blocks, 1, 1]."""
    pair = blocks[:, position : position + 2].contiguous()
    return pair.view(torch.float16).float().view(-1, 1, 1)


def _nibbles(packed: Tensor) -> Tensor:
    """uint8 [..., n] -> [..., 2, n]: the low halves, then the high halves."""
    return torch.stack((packed & 15, packed >> 4), dim=-2)


def _bits(mask: Tensor) -> Tensor:
    """uint8 [blocks, 4] -> its 32 bits [blocks, 1, 32], the least first, each 0 or 1."""
    shifts = torch.arange(8, dtype=torch.uint8)
    return ((mask.unsqueeze(-1) >> shifts) & 1).view(-1, 1, 32)


def _q4_0(blocks: Tensor) -> Affine:
    scale = _half(blocks, 0)
    return Affine(_nibbles(blocks[:, 2:]).view(-1, 1, 32), scale, -8 * scale)


def _q4_1(blocks: Tensor) -> Affine:
    return Affine(_nibbles(blocks[:, 4:]).view(-1, 1, 32), _half(blocks, 0), _half(blocks, 2))


def _q5_0(blocks: Tensor) -> Affine:
    scale = _half(blocks, 0)
    codes = _nibbles(blocks[:, 6:]).view(-1, 1, 32) | (_bits(blocks[:, 2:6]) << 4)
    return Affine(codes, scale, -16 * scale)


def _q5_1(blocks: Tensor) -> Affine:
    codes = _nibbles(blocks[:, 8:]).view(-1, 1, 32) | (_bits(blocks[:, 4:8]) << 4)
    return Affine(codes, _half(blocks, 0), _half(blocks, 2))


def _q8_0(blocks: Tensor) -> Affine:
    codes = blocks[:, 2:].contiguous().view(torch.int8)
    return Affine(codes.view(-1, 1, 32), _half(blocks, 0))


def _k_scales(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """The eight 6-bit scales and minima that Q4_K and Q5_K pack into bytes 4..16."""
    first, second, third = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    scales = torch.cat((first & 63, (third & 15) | ((first >> 6) << 4)), dim=-1)
    minima = torch.cat((second & 63, (third >> 4) | ((second >> 6) << 4)), dim=-1)
    return _half(blocks, 0) * scales.unsqueeze(-1), -_half(blocks, 2) * minima.unsqueeze(-1)


def _q4_k(blocks: Tensor) -> Affine:
    codes = _nibbles(blocks[:, 16:].view(-1, 4, 32)).view(-1, 8, 32)
    return Affine(codes, *_k_scales(blocks))


def _q5_k(blocks: Tensor) -> Affine:
    low = _nibbles(blocks[:, 48:].view(-1, 4, 32)).view(-1, 8, 32)
    shifts = torch.arange(8, dtype=torch.uint8).view(1, 8, 1)
    high = (blocks[:, 16:48].unsqueeze(1) >> shifts) & 1
    return Affine(low | (high << 4), *_k_scales(blocks))


def _q6_k(blocks: Tensor) -> Affine:
    low = _nibbles(blocks[:, :128].view(-1, 2, 64)).view(-1, 2, 4, 32)
    shifts = torch.tensor([0, 2, 4, 6], dtype=torch.uint8).view(1, 1, 4, 1)
    high = (blocks[:, 128:192].view(-1, 2, 1, 32) >> shifts) & 3
    codes = (low | (high << 4)).view(torch.int8) - 32
    scales = blocks[:, 192:208].contiguous().view(torch.int8)
    return Affine(codes.view(-1, 16, 16), _half(blocks, 208) * scales.unsqueeze(-1))


_DECODERS: Final[Mapping[Format, Callable[[Tensor], Affine]]] = {
    formats.Q4_0: _q4_0,
    formats.Q4_1: _q4_1,
    formats.Q5_0: _q5_0,
    formats.Q5_1: _q5_1,
    formats.Q8_0: _q8_0,
    formats.Q4_K: _q4_k,
    formats.Q5_K: _q5_k,
    formats.Q6_K: _q6_k,
}
