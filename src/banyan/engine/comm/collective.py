"""Collective: the sum of one buffer over all ranks, in place, the same bytes on every rank.

Every algorithm is a class in a file of its own, made from a ``Group``; ``collectives.py`` lists
them. They know hosts and links, not models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

NumberKind = Literal["float32", "bfloat16", "float16"]

ITEM_BYTES: Final[dict[NumberKind, int]] = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class Buffer:
    """Numbers in memory: ``data`` is writable, contiguous, of format "B"."""

    data: memoryview
    kind: NumberKind


class Collective(Protocol):
    """One way of summing. All ranks call it for the same sizes in the same order."""

    @property
    def name(self) -> str: ...

    def all_reduce(self, buffer: Buffer) -> None:
        """Replace the numbers by their sums over all ranks. Raises ``PeerLost``."""
        ...
