"""Four-bit matrices and their products with bf16 rows: our own kernel, and torch's.

Ours (``four_bit.c``) reads codes as fast as memory gives them, twice as fast as torch's, on x86
processors with AVX-512 BF16. It is compiled the first time it is needed, by the C compiler of the
machine, and kept beside this module as Python keeps its bytecode. Without such a processor, or such
a compiler, products go through torch's kernel; both compute the same numbers.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import torch
from torch import Tensor

from banyan.engine.config import processor_flags

GRAIN: Final = 32  # numbers that share a scale and a zero
OUTPUTS: Final = 16  # matrices come in blocks of so many rows
SOURCE: Final = Path(__file__).with_suffix(".c")
FLAGS: Final = frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_bf16"})
COMPILERS: Final = ("cc", "gcc", "clang")
OPTIONS: Final = (
    *("-O3", "-std=gnu11", "-shared", "-fPIC"),
    *(f"-m{flag.replace('_', '')}" for flag in sorted(FLAGS)),
)
COMPILE_TIMEOUT_S: Final = 60.0
WIDE_ROWS: Final = 6
"""From so many rows a bf16 product is faster than torch's packed one,"""
WIDE_ROWS_OWN: Final = 256
"""than ours,"""
WIDE_ROWS_OWN_AMX: Final = 16
"""and than ours on a processor that multiplies bf16 in tiles."""

Multiply = Callable[[int, int, int, int, int, int, int, int], None]
"""Addresses of the matrix, the input, working memory and the output; rows, grains, blocks and
threads."""


class FourBit(Protocol):
    """A matrix [out, in] of numbers (code - 8) * scale + zero."""

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
    def size_bytes(self) -> int:
        return self.weight.nbytes + self.scales_and_zeros.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        return torch._weight_int4pack_mm_for_cpu(x, self.weight, GRAIN, self.scales_and_zeros)


@dataclass(frozen=True, slots=True)
class OwnFourBit:
    """In the order ``four_bit.c`` describes: ``blocks`` uint8 [out / 16, in / 32, 320]."""

    blocks: Tensor
    multiply: Multiply
    wide_rows: int

    @property
    def size_bytes(self) -> int:
        return self.blocks.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        rows, (blocks, grains, _) = x.shape[0], self.blocks.shape
        y = x.new_empty(rows, blocks * OUTPUTS)
        sums = torch.empty(rows, grains, dtype=torch.float32)
        self.multiply(
            self.blocks.data_ptr(),
            x.data_ptr(),
            sums.data_ptr(),
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
    multiply = own_kernel()
    if multiply is not None:
        wide_rows = WIDE_ROWS_OWN_AMX if "amx_bf16" in processor_flags() else WIDE_ROWS_OWN
        return OwnFourBit(_blocks(codes, scale, zero), multiply, wide_rows)
    pairs = torch.stack((scale, zero), dim=-1).transpose(0, 1)
    weight = torch._convert_weight_to_int4pack_for_cpu(codes.to(torch.int32), 1)
    return TorchFourBit(weight, pairs.contiguous())


def _blocks(codes: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    blocks, grains = codes.shape[0] // OUTPUTS, codes.shape[1] // GRAIN
    # Of an input's place in its grain: the vector, the byte, the half of the byte, the word's half.
    halves = codes.to(torch.uint8).view(blocks, OUTPUTS, grains, 4, 2, 2, 2)
    low, high = halves.unbind(5)
    packed = (low | high << 4).permute(0, 2, 3, 1, 5, 4)
    pairs = torch.stack((scale, zero), dim=-1).view(blocks, OUTPUTS, grains, 2).transpose(1, 2)
    parts = (
        packed.reshape(blocks, grains, -1),
        pairs.contiguous().view(torch.uint8).view(blocks, grains, -1),
    )
    return torch.cat(parts, dim=-1)


@functools.cache
def own_kernel() -> Multiply | None:
    """``four_bit_multiply`` of ``four_bit.c``; None where it cannot run or cannot be compiled."""
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None or not processor_flags() >= FLAGS:
        return None
    try:
        library = _library(compiler, SOURCE.parent / "__pycache__")
    except (OSError, subprocess.SubprocessError):
        return None
    multiply = library.four_bit_multiply
    multiply.argtypes = [*[ctypes.c_void_p] * 4, *[ctypes.c_size_t] * 3, ctypes.c_uint]
    multiply.restype = None
    return multiply


def _library(compiler: str, folder: Path) -> ctypes.CDLL:
    """The source as a library, from ``folder`` if it was compiled by this compiler before."""
    key = SOURCE.read_bytes() + " ".join((compiler, *OPTIONS)).encode()
    kept = folder / f"four_bit.{hashlib.sha256(key).hexdigest()[:16]}.so"
    if kept.exists():
        return ctypes.CDLL(str(kept))
    with tempfile.TemporaryDirectory(prefix="banyan-") as made_in:
        made = Path(made_in, kept.name)
        command = [compiler, *OPTIONS, "-o", str(made), str(SOURCE)]
        subprocess.run(command, check=True, capture_output=True, timeout=COMPILE_TIMEOUT_S)
        library = ctypes.CDLL(str(made))
        _keep(made, kept)
    return library


def _keep(made: Path, kept: Path) -> None:
    """Copy it whole or not at all; a folder nobody may write to costs a second at each start."""
    part = kept.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):
        kept.parent.mkdir(exist_ok=True)
        shutil.copyfile(made, part)
        part.replace(kept)
    with contextlib.suppress(OSError):
        part.unlink(missing_ok=True)
