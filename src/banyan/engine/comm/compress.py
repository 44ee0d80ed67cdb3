"""Compress: fewer bytes across hosts, for a stated loss.

``bf16`` sends float32 as bfloat16. A host's sum s arrives with an error of at most 2^-8 |s|, so a
total over hosts h is off by at most 2^-8 (|s_1| + ... + |s_h|); magnitudes below 1e-38 by at
most 1e-40.
``int8`` sends groups of ``GROUP`` numbers as whole multiples of m / 127, m being the largest
magnitude of the group. Each number of a host's sum is off by at most m / 254, so a total by at most
(m_1 + ... + m_h) / 254; magnitudes below 1e-28 may become 0. A group with a number that is not
finite arrives as not a number.

To that comes the rounding of float32 sums, and of the total to the buffer's kind, as without
compression. Sums within a host stay exact, and every master also rounds its own contribution, so
all ranks still get the same bytes. Where a payload would not be shorter than the numbers are
(bf16 of half precision) they are sent as they are.

Numpy does it all, but where torch is loaded its kernel rounds to half precision, which numpy does
five times slower.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from banyan.core.errors import InputError
from banyan.engine.comm.arithmetic import narrowed, widened
from banyan.engine.comm.collective import ITEM_BYTES, NumberKind
from banyan.engine.comm.exchange import Exchange
from banyan.engine.comm.group import Group
from banyan.engine.comm.link import Pump

if TYPE_CHECKING:
    from numpy.typing import NDArray

GROUP: Final = 128
SCALE_BYTES: Final = 4
LEAST_SCALE: Final = 1e-30
"""No scale is smaller, so that a group of zeros can be divided by its own."""


class Codec(Protocol):
    """How a piece of a message is written on the wire."""

    def wire_bytes(self, size: int, kind: NumberKind) -> int:
        """How long ``size`` bytes of numbers are on the wire."""
        ...

    def encode(self, data: memoryview, wire: memoryview, kind: NumberKind) -> None:
        """Write the numbers of ``data`` to ``wire``, which is as long as ``wire_bytes`` says."""
        ...

    def decode(self, wire: memoryview) -> NDArray[np.float32]:
        """The numbers again, in new memory."""
        ...


class Bfloat16:
    """Two bytes a number."""

    def wire_bytes(self, size: int, kind: NumberKind) -> int:
        return 2 * (size // ITEM_BYTES[kind])

    def encode(self, data: memoryview, wire: memoryview, kind: NumberKind) -> None:
        _store(widened(data, kind), wire, "bfloat16")

    def decode(self, wire: memoryview) -> NDArray[np.float32]:
        return widened(wire, "bfloat16")


class Int8:
    """One byte a number, after a float32 for each group of ``GROUP``."""

    def wire_bytes(self, size: int, kind: NumberKind) -> int:
        count = size // ITEM_BYTES[kind]
        return SCALE_BYTES * -(-count // GROUP) + count

    def encode(self, data: memoryview, wire: memoryview, kind: NumberKind) -> None:
        numbers = widened(data, kind)
        groups = -(-len(numbers) // GROUP)
        padded = np.pad(numbers, (0, groups * GROUP - len(numbers)))
        scales, codes = _quantised(padded.reshape(groups, GROUP))
        target = np.frombuffer(wire, dtype=np.uint8)
        head = SCALE_BYTES * groups
        target[:head] = scales.view(np.uint8)
        target[head:] = codes.reshape(-1)[: len(numbers)].view(np.uint8)

    def decode(self, wire: memoryview) -> NDArray[np.float32]:
        # A wire of n bytes is g groups and c codes with n = 4 g + c and g = ceil(c / GROUP).
        groups = -(-len(wire) // (GROUP + SCALE_BYTES))
        head = SCALE_BYTES * groups
        scales = np.frombuffer(wire[:head], dtype=np.float32)
        codes = np.frombuffer(wire[head:], dtype=np.int8)
        padded = np.pad(codes, (0, groups * GROUP - len(codes))).reshape(groups, GROUP)
        with np.errstate(invalid="ignore"):
            table = np.multiply(padded, scales[:, None], dtype=np.float32)
        return table.reshape(-1)[: len(codes)]


CODECS: Final[dict[str, Codec]] = {"bf16": Bfloat16(), "int8": Int8()}


def _quantised(table: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """A scale for each row, and the row in multiples of it."""
    with np.errstate(invalid="ignore"):  # what is not finite spoils its scale: see the module
        scales = np.maximum(np.abs(table).max(axis=1) / 127, np.float32(LEAST_SCALE))
        return scales, np.rint(table / scales[:, None]).astype(np.int8)


def _store(numbers: NDArray[np.float32], out: memoryview, kind: NumberKind) -> None:
    """Round float32 to ``kind`` and write it to ``out``; the same bits with and without torch."""
    if "torch" not in sys.modules or not len(out):
        np.frombuffer(out, dtype=np.uint8)[:] = narrowed(numbers, kind).view(np.uint8)
        return
    import torch

    torch.frombuffer(out, dtype=getattr(torch, kind)).copy_(torch.from_numpy(numbers))


class CompressedExchange(Exchange):
    """``Exchange`` whose masters send each other compressed sums."""

    def __init__(self, group: Group, payload: str) -> None:
        super().__init__(group)
        if payload not in CODECS:
            raise InputError(
                f"{payload!r} is not a payload.",
                remedy=f"Choose exact or one of {', '.join(CODECS)}.",
            )
        self.name = f"exchange+{payload}"
        self._codec = CODECS[payload]

    def wire_bytes(self, size_bytes: int) -> int:
        """How long a message of float32 is between hosts."""
        return self._codec.wire_bytes(size_bytes, "float32")

    def _lead(self, data: memoryview, pieces: Sequence[slice], kind: NumberKind) -> None:
        if not self._peers or self._codec.wire_bytes(len(data), kind) >= len(data):
            super()._lead(data, pieces, kind)
            return
        sizes = [self._codec.wire_bytes(piece.stop - piece.start, kind) for piece in pieces]
        ends = np.cumsum([0, *sizes]).tolist()
        places = [slice(begin, end) for begin, end in pairwise(ends)]
        sums = self._space("sums", len(data))
        own = self._space("wire", ends[-1])
        theirs = [self._space(f"from {link.peer}", ends[-1]) for link in self._peers]
        in_order = [*theirs[: self._host], own, *theirs[self._host :]]
        pump = Pump(self._peers)
        for link, space in zip(self._peers, theirs, strict=True):
            pump.expect(link, space)
        summed = finished = 0
        while finished < len(pieces) or pump.busy:
            if summed < len(pieces):
                self._sum_host(summed, pieces[summed], data, sums, kind)
                self._codec.encode(sums[pieces[summed]], own[places[summed]], kind)
                for link in self._peers:
                    pump.send(link, own[places[summed]])
                summed += 1
            pump.turn(wait=summed == len(pieces))
            arrived = min(pump.received(link) for link in self._peers)
            while finished < summed and places[finished].stop <= arrived:
                self._total(data[pieces[finished]], [w[places[finished]] for w in in_order], kind)
                self._publish(pieces[finished], data)
                finished += 1

    def _total(self, out: memoryview, wires: Sequence[memoryview], kind: NumberKind) -> None:
        total = self._codec.decode(wires[0])
        for wire in wires[1:]:
            total += self._codec.decode(wire)
        _store(total, out, kind)
