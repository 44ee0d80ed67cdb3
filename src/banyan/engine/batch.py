"""Batch: one step's work, the only thing the scheduler tells a rank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The new tokens of one sequence in a batch.

    They stand at rows [start, start + length) of the batch and at positions
    [context - length, context) of the sequence; ``pages`` is its page table, covering ``context``
    tokens.
    """

    sequence_id: int
    start: int
    length: int
    context: int
    pages: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Batch:
    """Ragged sequences laid end to end.

    ``tokens`` int64 [T]; ``positions`` int64 [T]; ``logit_rows`` int64 [R] are the rows whose
    logits are wanted (the last token of each sequence that samples, every row of one that scores).
    ``whole_rows`` bool [R]: which of those need every token's logit; of the others the likeliest
    candidates are enough (None: all are needed whole).

    A batch is itself alone, even beside one with the same tokens.
    """

    id: int
    tokens: Tensor
    positions: Tensor
    spans: tuple[Span, ...]
    logit_rows: Tensor
    whole_rows: Tensor | None = None


class LayerKV(Protocol):
    """The keys and values of one layer."""

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, batch: Batch, *, scale: float, window: int | None
    ) -> Tensor:
        """Store ``k`` and ``v`` of the batch's tokens, then attend causally over each context.

        q [T, heads, d]; k, v [T, kv_heads, d]; returns [T, heads, d]. A position sees itself and
        the ``window - 1`` before it (``window`` None: all).
        """
        ...


class Comm(Protocol):
    """The one collective of tensor parallel."""

    def all_reduce(self, x: Tensor) -> Tensor:
        """The sum of ``x`` over all ranks, on every rank; may work in place."""
        ...


class OneRank:
    """The communication of a single rank: there is nobody to talk to."""

    def all_reduce(self, x: Tensor) -> Tensor:
        return x


Forward = Callable[[Batch, "list[LayerKV]", Comm], Tensor]
