"""StreamedKV: keys and values that live in the host's memory and visit the card layer by layer.

A card holds the pools of a few layers at a time. What a step adds to a layer is written out once
it is computed, and what the step's sequences had before is brought in while the layers before are
computed. A prompt's first step brings nothing in. (The source article, 2.3, moves them alike.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from banyan.engine.batch import Batch, Span
from banyan.engine.kv import LayerPages, Plans
from banyan.engine.pools import make_pool, pool_bytes, pool_over
from banyan.engine.stream.lanes import PASSED, Lanes, Mark
from banyan.engine.stream.pinned import host_memory

SLOTS = 2
"""Layers on the card at a time: one is computed while another comes or goes."""


@dataclass(slots=True, eq=False)
class _Slot:
    """``planes`` are those of layer ``holds``, keys and values; of its pages those in ``present``
    are as they should be. ``ready`` and ``used`` as in ``card.py``."""

    planes: tuple[Tensor, ...]
    visitor: LayerPages
    holds: int | None = None
    present: set[int] = field(default_factory=set)
    ready: Mark = PASSED
    used: Mark = PASSED


class StreamedKV:
    """The pools of all layers; arguments as of ``PagedKV``. ``size_bytes`` are the host's,
    ``card_bytes`` the card's."""

    def __init__(
        self,
        *,
        layers: int,
        kv_heads: int,
        head_dim: int,
        pages: int,
        page_size: int,
        dtype: torch.dtype,
        kept: torch.dtype | None = None,
        device: torch.device,
        lanes: Lanes,
    ) -> None:
        kept = dtype if kept is None else kept
        plans = Plans(page_size, head_dim, dtype, device, kept=kept)
        shape = (pages, page_size, kv_heads, head_dim)
        half = pool_bytes(shape, kept)
        one = 2 * half
        count = min(SLOTS, layers)
        self._slots = []
        for _ in range(count):
            keys, values = (make_pool(shape, kept, dtype, device) for _ in range(2))
            planes = (*keys.planes, *values.planes)
            self._slots.append(_Slot(planes, LayerPages(keys, values, plans)))
        memory = host_memory(layers * one, device)
        self.is_pinned = memory.is_pinned
        self._host = [
            tuple(
                plane
                for part in run.split(half)
                for plane in pool_over(part, shape, kept, dtype).planes
            )
            for run in memory.data.split(one)
        ]
        self._written = [PASSED] * layers
        self._page_size = page_size
        self._page_bytes = one // pages
        self._lanes = lanes
        self._moves: WeakKeyDictionary[Batch, _Moves] = WeakKeyDictionary()
        self.brought_bytes = 0
        self.layers = [_Layer(self, index) for index in range(layers)]
        self.size_bytes = layers * one
        self.card_bytes = count * one

    def _moved(self, batch: Batch) -> _Moves:
        """Which pages a batch needs and changes, the same in every layer."""
        if batch not in self._moves:
            self._moves[batch] = _Moves.of(batch, self._page_size)
        return self._moves[batch]

    def enter(self, layer: int, batch: Batch) -> LayerPages:
        """The layer's pages, with what the batch's sequences had before; ``leave`` follows."""
        slot = self._bring(layer, batch)
        if len(self._slots) > 1:
            self._bring((layer + 1) % len(self.layers), batch, beside=slot)
        self._lanes.compute.wait(slot.ready)
        return slot.visitor

    def leave(self, layer: int, batch: Batch) -> None:
        """Write out what the batch has added to the layer."""
        slot = self._slot(layer, None)
        slot.used = self._lanes.compute.mark()
        moves = self._moved(batch)
        slot.present |= moves.added
        self._lanes.outward.wait(slot.used)
        for run in moves.runs:
            for target, source in zip(self._host[layer], slot.planes, strict=True):
                self._lanes.outward.copy(target[run], source[run])
        self._written[layer] = self._lanes.outward.mark()

    def _bring(self, layer: int, batch: Batch, beside: _Slot | None = None) -> _Slot:
        slot = self._slot(layer, beside)
        if slot.holds != layer:
            if slot.holds is not None:
                self._lanes.inward.wait(self._written[slot.holds])
            slot.holds = layer
            slot.present.clear()
            slot.ready = self._lanes.inward.mark()
        missing = self._moved(batch).had - slot.present
        if missing:
            self._lanes.inward.wait(self._written[layer])
            for run in _runs(missing):
                for target, source in zip(slot.planes, self._host[layer], strict=True):
                    self._lanes.inward.copy(target[run], source[run])
            slot.present |= missing
            self.brought_bytes += len(missing) * self._page_bytes
            slot.ready = self._lanes.inward.mark()
        return slot

    def _slot(self, layer: int, beside: _Slot | None) -> _Slot:
        """The one that holds the layer, or any other than ``beside``."""
        for slot in self._slots:
            if slot.holds == layer:
                return slot
        return next(slot for slot in self._slots if slot is not beside)


class _Layer:
    """One layer as a ``LayerKV``."""

    def __init__(self, cache: StreamedKV, index: int) -> None:
        self._cache = cache
        self._index = index

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, batch: Batch, *, scale: float, window: int | None
    ) -> Tensor:
        """See ``LayerKV``."""
        pages = self._cache.enter(self._index, batch)
        try:
            return pages.attend(q, k, v, batch, scale=scale, window=window)
        finally:
            self._cache.leave(self._index, batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moves:
    """Pages with what a batch's sequences ``had`` before, and those that it has ``added`` to; these
    also as ``runs`` of neighbours, of which each is one copy."""

    had: frozenset[int]
    added: frozenset[int]
    runs: tuple[slice, ...]

    @classmethod
    def of(cls, batch: Batch, page_size: int) -> Self:
        added = frozenset(page for span in batch.spans for page in _added(span, page_size))
        had = frozenset(page for span in batch.spans for page in _had(span, page_size))
        return cls(had=had, added=added, runs=tuple(_runs(added)))


def _had(span: Span, page_size: int) -> Sequence[int]:
    """Pages with tokens that the sequence had before."""
    return span.pages[: -(-(span.context - span.length) // page_size)]


def _added(span: Span, page_size: int) -> Sequence[int]:
    """Pages that its new tokens go to."""
    first = (span.context - span.length) // page_size
    return span.pages[first : -(-span.context // page_size)]


def _runs(pages: Iterable[int]) -> list[slice]:
    """Numbers as runs of neighbours."""
    runs: list[slice] = []
    for page in sorted(pages):
        if runs and runs[-1].stop == page:
            runs[-1] = slice(runs[-1].start, page + 1)
        else:
            runs.append(slice(page, page + 1))
    return runs
