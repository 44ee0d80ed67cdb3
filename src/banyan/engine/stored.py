"""Stored: a tensor as it lies in a file, whatever the file and the number format.

Rows are kept as raw bytes, so that taking, reordering and joining rows never decodes a number.
No torch here: ``dequantise.py`` turns the bytes into numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from banyan.core.errors import CheckpointInvalid
from banyan.core.layout import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Format:
    """``block_bytes`` bytes hold ``block`` numbers that follow each other in a row."""

    name: str
    block: int
    block_bytes: int


F32 = Format("F32", 1, 4)
F16 = Format("F16", 1, 2)
BF16 = Format("BF16", 1, 2)
Q4_0 = Format("Q4_0", 32, 18)
Q4_1 = Format("Q4_1", 32, 20)
Q5_0 = Format("Q5_0", 32, 22)
Q5_1 = Format("Q5_1", 32, 24)
Q8_0 = Format("Q8_0", 32, 34)
Q4_K = Format("Q4_K", 256, 144)
Q5_K = Format("Q5_K", 256, 176)
Q6_K = Format("Q6_K", 256, 210)
PLAIN = frozenset({F32, F16, BF16})
FOUR_BIT = frozenset({Q4_0, Q4_1, Q4_K})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """``data`` uint8 [rows, bytes of a row]; ``shape`` as in torch, the last axis along a row.

    ``lead`` numbers at the start of each row, and whatever its last block holds beyond the shape,
    belong to neighbours: a cut that falls inside a block keeps the block.
    """

    name: str
    format: Format
    shape: tuple[int, ...]
    data: Bytes
    lead: int = 0

    @property
    def size_bytes(self) -> int:
        return int(self.data.size)

    def matrix(self, index: int) -> Stored:
        """One matrix of a stack of them [n, rows, columns] (a view)."""
        rows = self.shape[1]
        data = self.data[index * rows : (index + 1) * rows]
        return replace(self, name=f"{self.name}[{index}]", shape=self.shape[1:], data=data)

    def rows(self, interval: Interval) -> Stored:
        """The rows of a matrix, or numbers of a vector, in ``interval`` (a view)."""
        if len(self.shape) == 1:
            return self.columns(interval)
        shape = (interval.size, *self.shape[1:])
        return replace(self, shape=shape, data=self.data[interval.begin : interval.end])

    def columns(self, interval: Interval) -> Stored:
        """The numbers in ``interval`` of every row, with the whole blocks they are in (a view)."""
        block = self.format.block
        begin, end = self.lead + interval.begin, self.lead + interval.end
        first, last = begin // block, -(-end // block)
        size = self.format.block_bytes
        return replace(
            self,
            shape=(*self.shape[:-1], interval.size),
            data=self.data[:, first * size : last * size],
            lead=begin - first * block,
        )

    def reordered(self, rows: NDArray[np.int64]) -> Stored:
        """The same matrix with its rows, or vector with its numbers, in another order, or only some
        of them, or some repeatedly (a copy).

        Raises ``CheckpointInvalid`` for a vector in blocks: its numbers cannot be moved apart.
        """
        if len(self.shape) == 1 and self.format.block > 1:
            raise CheckpointInvalid(f"Tensor {self.name} is a vector in {self.format.name}.")
        lines = self.data.reshape(self.shape[0], -1)[rows]
        data = lines if len(self.shape) > 1 else lines.reshape(1, -1)
        return replace(self, shape=(len(rows), *self.shape[1:]), data=data)


def stored(name: str, fmt: Format, shape: Sequence[int], raw: Bytes) -> Stored:
    """Wrap ``raw`` bytes [n]; raise ``CheckpointInvalid`` when they are not ``shape`` numbers."""
    columns = shape[-1] if shape else 1
    rows = math.prod(shape[:-1])
    if columns % fmt.block:
        raise CheckpointInvalid(
            f"Tensor {name}: rows of {columns} numbers do not divide into {fmt.name} blocks"
            f" of {fmt.block}."
        )
    row_bytes = columns // fmt.block * fmt.block_bytes
    if raw.size != rows * row_bytes:
        raise CheckpointInvalid(
            f"Tensor {name}: {raw.size} bytes do not hold {tuple(shape)} in {fmt.name}."
        )
    return Stored(name=name, format=fmt, shape=tuple(shape), data=raw.reshape(rows, row_bytes))


def joined(parts: Sequence[Stored]) -> Stored:
    """Matrices of one format and width, stacked by rows (a copy)."""
    return replace(
        parts[0],
        name="+".join(part.name for part in parts),
        shape=(sum(part.shape[0] for part in parts), *parts[0].shape[1:]),
        data=np.concatenate([part.data for part in parts]),
    )
