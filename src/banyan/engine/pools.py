"""Pools: the keys, or the values, of one layer, in pages, and in which type they are kept.

``DensePool`` keeps floating numbers. ``Int8Pool`` keeps whole multiples of a scale, which each key
or value of a token and head has for itself: a page fills token by token, and a scale for several
tokens would change, and what is written be rounded again, with each that comes; and heads differ in
size, most of all their keys, so that a scale for all heads would cost the small ones their digits.
It adds two bytes to the ``head_dim`` of the numbers.
"""

from __future__ import annotations

import math
from typing import Final, Protocol

import numpy as np
import torch
from torch import Tensor

from banyan.plan.matrices import SCALE_BYTES

STEPS: Final = 127
"""The largest number is so many times the scale."""
LEAST_SCALE: Final = 1e-30
"""Keeps zeros from being divided by zero."""

Shape = tuple[int, int, int, int]


class Pool(Protocol):
    """Keys or values in pages; what is read of a slot is what was put there, or finite."""

    @property
    def planes(self) -> tuple[Tensor, ...]:
        """All that is kept; in each the first dimension is the page."""
        ...

    def put(self, slots: Tensor, rows: Tensor) -> None:
        """``rows`` [T, kv_heads, d] go to ``slots`` int64 [T] (page * page_size + offset)."""
        ...

    def gather(self, pages: Tensor, count: int) -> Tensor:
        """``pages`` int64 [count * P] as [count, kv_heads, P * page_size, d], to compute with."""
        ...


class DensePool:
    """A ``Pool`` of ``numbers`` [pages, page_size, kv_heads, d], computed with as ``dtype``."""

    def __init__(self, numbers: Tensor, dtype: torch.dtype) -> None:
        self.numbers = numbers
        self._dtype = dtype

    @property
    def planes(self) -> tuple[Tensor, ...]:
        return (self.numbers,)

    def put(self, slots: Tensor, rows: Tensor) -> None:
        self.numbers.flatten(0, 1).index_copy_(0, slots, rows.to(self.numbers.dtype))

    def gather(self, pages: Tensor, count: int) -> Tensor:
        rows = self.numbers.index_select(0, pages).to(self._dtype)
        return _by_head(rows, count)


class Int8Pool:
    """A ``Pool`` of int8 ``numbers`` [pages, page_size, kv_heads, d] and bf16 ``scales`` [..., 1].

    A number comes back within ``scale / 2`` of what it was, which is 1/253 of the largest of its
    token and head; in bf16 its own rounding is added. The scale is rounded before it is used, so
    that its rounding does no harm.
    """

    def __init__(self, numbers: Tensor, scales: Tensor, dtype: torch.dtype) -> None:
        self.numbers = numbers
        self.scales = scales
        self._dtype = dtype

    @property
    def planes(self) -> tuple[Tensor, ...]:
        return self.numbers, self.scales

    def put(self, slots: Tensor, rows: Tensor) -> None:
        rows = rows.float()
        largest = rows.abs().amax(dim=-1, keepdim=True)
        scales = (largest / STEPS).clamp_min(LEAST_SCALE).to(self.scales.dtype)
        numbers = (rows / scales).round_().clamp_(-STEPS, STEPS).to(torch.int8)
        self.numbers.flatten(0, 1).index_copy_(0, slots, numbers)
        self.scales.flatten(0, 1).index_copy_(0, slots, scales)

    def gather(self, pages: Tensor, count: int) -> Tensor:
        rows = self.numbers.index_select(0, pages).to(self._dtype)
        return _by_head(rows.mul_(self.scales.index_select(0, pages)), count)


def make_pool(shape: Shape, kept: torch.dtype, dtype: torch.dtype, device: torch.device) -> Pool:
    """A pool [pages, page_size, kv_heads, d] that keeps numbers as ``kept`` (int8: with scales) and
    hands them out as ``dtype``. It takes no memory of a host until it is written to."""
    size = pool_bytes(shape, kept)
    if device.type == "cpu":
        memory = torch.from_numpy(np.zeros(size, dtype=np.uint8))
    else:
        memory = torch.zeros(size, dtype=torch.uint8, device=device)
    return pool_over(memory, shape, kept, dtype)


def pool_over(memory: Tensor, shape: Shape, kept: torch.dtype, dtype: torch.dtype) -> Pool:
    """A pool whose planes are ``memory`` uint8 [pool_bytes or more], one after the other. Zeros in
    it are what is read of slots that nothing was put to: what is masked must be finite."""
    count = math.prod(shape) * kept.itemsize
    numbers = memory[:count].view(kept).view(shape)
    if kept != torch.int8:
        return DensePool(numbers, dtype)
    end = pool_bytes(shape, kept)
    scales = memory[count:end].view(torch.bfloat16).view(*shape[:3], 1)
    return Int8Pool(numbers, scales, dtype)


def pool_bytes(shape: Shape, kept: torch.dtype) -> int:
    """What a pool of this shape takes."""
    return math.prod(shape[:3]) * head_bytes(shape[3], kept)


def plane_bytes(shape: Shape, kept: torch.dtype) -> tuple[int, ...]:
    """What a page takes in each plane of such a pool."""
    heads = shape[1] * shape[2]
    numbers = heads * shape[3] * kept.itemsize
    return (numbers, heads * SCALE_BYTES) if kept == torch.int8 else (numbers,)


def head_bytes(head_dim: int, kept: torch.dtype) -> int:
    """Bytes of one head's key, or value, of one token."""
    return head_dim * kept.itemsize + (SCALE_BYTES if kept == torch.int8 else 0)


def _by_head(rows: Tensor, count: int) -> Tensor:
    """[count * P, page_size, kv_heads, d] as [count, kv_heads, P * page_size, d]."""
    return rows.view(count, -1, *rows.shape[2:]).transpose(1, 2)
