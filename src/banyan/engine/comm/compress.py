"""Compress: fewer bytes across hosts, for a stated loss.

``bf16`` sends float32 as bfloat16: each number keeps 8 bits, an error of at most 2^-9 of itself.
``int8`` sends groups of ``GROUP`` numbers as whole multiples of their largest magnitude / 127: an
error of at most 1/254 of that magnitude, for each host that contributes.

Sums within a host stay exact, and every master also rounds its own contribution, so all ranks still
get the same bytes.
"""

from __future__ import annotations

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


class Codec(Protocol):
    """How a piece of a message is written on the wire."""

    def wire_bytes(self, size: int, kind: NumberKind) -> int: ...

    def encode(self, data: memoryview, wire: memoryview, kind: NumberKind) -> None: ...

    def decode(self, wire: memoryview, kind: NumberKind) -> NDArray[np.float32]: ...


class Bfloat16:
    """Two bytes a number."""

    def wire_bytes(self, size: int, kind: NumberKind) -> int:
        return 2 * (size // ITEM_BYTES[kind])

    def encode(self, data: memoryview, wire: memoryview, kind: NumberKind) -> None:
        numbers = narrowed(widened(data, kind), "bfloat16")
        np.frombuffer(wire, dtype=np.uint8)[:] = numbers.view(np.uint8)

    def decode(self, wire: memoryview, kind: NumberKind) -> NDArray[np.float32]:
        return widened(wire, "bfloat16")


class Int8:
    """One byte a number, and a float32 for each group of ``GROUP``."""

    def wire_bytes(self, size: int, kind: NumberKind) -> int:
        count = size // ITEM_BYTES[kind]
        return SCALE_BYTES * -(-count // GROUP) + count

    def encode(self, data: memoryview, wire: memoryview, kind: NumberKind) -> None:
        numbers = widened(data, kind)
        count, groups = len(numbers), -(-len(numbers) // GROUP)
        padded = np.zeros(groups * GROUP, dtype=np.float32)
        padded[:count] = numbers
        table = padded.reshape(groups, GROUP)
        scales = np.maximum(np.abs(table).max(axis=1, keepdims=True) / 127, 1e-30)
        scales = scales.astype(np.float32)
        table /= scales
        codes = np.rint(table, out=table).astype(np.int8)
        target = np.frombuffer(wire, dtype=np.uint8)
        head = SCALE_BYTES * groups
        target[:head] = scales.view(np.uint8).reshape(-1)
        target[head:] = codes.reshape(-1)[:count].view(np.uint8)

    def decode(self, wire: memoryview, kind: NumberKind) -> NDArray[np.float32]:
        # A wire of n bytes is g groups and c codes with n = 4 g + c and g = ceil(c / GROUP).
        groups = -(-len(wire) // (GROUP + SCALE_BYTES))
        head = SCALE_BYTES * groups
        scales = np.frombuffer(wire[:head], dtype=np.float32)
        codes = np.frombuffer(wire[head:], dtype=np.int8)
        return codes * np.repeat(scales, GROUP)[: len(codes)]


CODECS: Final[dict[str, Codec]] = {"bf16": Bfloat16(), "int8": Int8()}


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

    def _lead(self, data: memoryview, pieces: Sequence[slice], kind: NumberKind) -> None:
        if not self._peers:
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
        total = self._codec.decode(wires[0], kind).copy()
        for wire in wires[1:]:
            total += self._codec.decode(wire, kind)
        np.frombuffer(out, dtype=np.uint8)[:] = narrowed(total, kind).view(np.uint8)
