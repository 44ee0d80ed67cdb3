"""Four-bit matrices and their products with bf16 rows: our own kernel, and torch's.

Ours (``native/four_bit.c``) reads codes as fast as memory gives them, twice as fast as torch's; it
needs an x86 processor with AVX-512 BF16 and a C compiler. Elsewhere products go through torch's
kernel; both compute the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor

from banyan.engine.config import processor_flags
from banyan.engine.native.library import Kernel, kernel

GRAIN: Final = 32  # numbers that share a scale and a zero
OUTPUTS: Final = 16  # matrices come in blocks of so many rows
KERNEL: Final = "four_bit_multiply"
WIDE_ROWS: Final = 6
"""Rows from which a bf16 product is faster than torch's packed one."""
WIDE_ROWS_OWN: Final = 256
"""Rows from which it is faster than ours."""
WIDE_ROWS_OWN_AMX: Final = 16
"""The same on a processor that multiplies bf16 in tiles."""


class FourBit(Protocol):
    """A matrix [out, in] of numbers (code - 8) * scale + zero."""

    @property
    def numbers(self) -> int:
        """out x in."""
        ...

    @property
    def size_bytes(self) -> int: ...

    @property
    def wide_rows(self) -> int:
        """From so many rows a product with the same matrix in bf16 is faster."""
        ...

    def __call__(self, x: Tensor) -> Tensor:
        """bf16 [rows, in], in one piece -> bf16 [rows, out]."""
        ...


@dataclass(frozen=True, slots=True)
class TorchFourBit:
    """In the packing of torch's kernel. ``scales_and_zeros`` bf16 [in / 32, out, 2]."""

    weight: Tensor
    scales_and_zeros: Tensor
    wide_rows: int = WIDE_ROWS

    @property
    def numbers(self) -> int:
        return 2 * self.weight.nbytes

    @property
    def size_bytes(self) -> int:
        return self.weight.nbytes + self.scales_and_zeros.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        return torch._weight_int4pack_mm_for_cpu(x, self.weight, GRAIN, self.scales_and_zeros)


@dataclass(frozen=True, slots=True)
class OwnFourBit:
    """In the order of ``native/four_bit.c``: ``codes`` uint8 [out / 16, in / 32, 256], ``scales``
    and ``zeros`` bf16 [out / 16, in / 32, 16] (None: all are 0)."""

    codes: Tensor
    scales: Tensor
    zeros: Tensor | None
    wide_rows: int

    @property
    def numbers(self) -> int:
        return 2 * self.codes.nbytes

    @property
    def size_bytes(self) -> int:
        zeros = 0 if self.zeros is None else self.zeros.nbytes
        return self.codes.nbytes + self.scales.nbytes + zeros

    def __call__(self, x: Tensor) -> Tensor:
        rows, (blocks, grains, _) = x.shape[0], self.codes.shape
        y = x.new_empty(rows, blocks * OUTPUTS)
        zeros = self.zeros
        sums = None if zeros is None else torch.empty(rows, grains, dtype=torch.float32)
        own_kernel()(
            self.codes.data_ptr(),
            self.scales.data_ptr(),
            None if zeros is None else zeros.data_ptr(),
            x.data_ptr(),
            None if sums is None else sums.data_ptr(),
            y.data_ptr(),
            rows,
            grains,
            blocks,
            torch.get_num_threads(),
        )
        return y


def make_four_bit(codes: Tensor, scale: Tensor, zero: Tensor) -> FourBit:
    """``codes`` 0..15 [out, in] and bf16 ``scale`` and ``zero`` [out, in / 32], for the fastest
    kernel there is here. ``out`` is a multiple of 16, ``in`` of 32."""
    if kernel(KERNEL) is None:
        pairs = torch.stack((scale, zero), dim=-1).transpose(0, 1)
        weight = torch._convert_weight_to_int4pack_for_cpu(codes.to(torch.int32), 1)
        return TorchFourBit(weight, pairs.contiguous())
    return OwnFourBit(
        _in_vectors(codes),
        _in_blocks(scale),
        _in_blocks(zero) if bool(zero.any()) else None,
        WIDE_ROWS_OWN_AMX if "amx_bf16" in processor_flags() else WIDE_ROWS_OWN,
    )


def own_kernel() -> Kernel:
    """The kernel of ``native/four_bit.c``. Raises ``RuntimeError`` where it cannot run."""
    found = kernel(KERNEL)
    if found is None:
        raise RuntimeError("this machine has no four-bit kernel of ours")
    return found


def _in_vectors(codes: Tensor) -> Tensor:
    blocks, grains = codes.shape[0] // OUTPUTS, codes.shape[1] // GRAIN
    # Of an input's place in its grain: the vector, the byte, the half of the byte, the word's half.
    halves = codes.to(torch.uint8).view(blocks, OUTPUTS, grains, 4, 2, 2, 2)
    low, high = halves.unbind(5)
    return (low | high << 4).permute(0, 2, 3, 1, 5, 4).reshape(blocks, grains, -1)


def _in_blocks(numbers: Tensor) -> Tensor:
    grains = numbers.shape[1]
    return numbers.view(-1, OUTPUTS, grains).transpose(1, 2).contiguous()
