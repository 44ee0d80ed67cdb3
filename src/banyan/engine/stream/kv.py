"""StreamedKV: keys and values that live elsewhere and visit the device layer by layer.

The device holds the pools of two layers at a time: a card's others live in the host's memory, a
processor's in a file. What a step adds to a layer is written out once it is attended to, and what
the step's sequences had before is brought in while the layers before are computed. A prompt's first
step brings nothing in. (The source article, 2.3, moves them alike.)

    attend (layer i)                     lanes (cards: streams; processors: threads)
      enter   bring i, if it is not here   inward   FarPages.read of what the batch had before
              ask for i + 1
      LayerPages.attend                    (what computes waits for the mark behind its pages)
      leave                                outward  FarPages.write of what the batch has added
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Self
from weakref import WeakKeyDictionary

from torch import Tensor

from banyan.engine.batch import Batch, Span
from banyan.engine.kv import CacheSize, LayerPages, Plans
from banyan.engine.pools import Pool, make_pool, pool_bytes, pool_over
from banyan.engine.stream.direct import aligned
from banyan.engine.stream.far import FarPages, HostPages
from banyan.engine.stream.lanes import PASSED, Lanes, Mark
from banyan.plan.budget import KV_SLOTS


@dataclass(slots=True, eq=False)
class _Slot:
    """``planes`` are those of layer ``holds``, keys and values; of its pages those in ``present``
    are as they should be once the marks of ``ready`` are passed. ``used`` as in ``card.py``."""

    planes: tuple[Tensor, ...]
    visitor: LayerPages
    holds: int | None = None
    present: set[int] = field(default_factory=set)
    ready: list[Mark] = field(default_factory=list)
    used: Mark = PASSED

    def empty(self, layer: int | None) -> None:
        """It is for this layer now, of which nothing has come yet."""
        self.holds = layer
        self.present.clear()
        self.ready.clear()


class StreamedKV:
    """The pools of all layers. ``far`` is where they live (None: in the host's memory).
    ``size_bytes`` are those there, ``near_bytes`` the device's."""

    def __init__(self, size: CacheSize, *, lanes: Lanes, far: FarPages | None = None) -> None:
        plans, slots = Plans(size), []
        for _ in range(min(KV_SLOTS, size.layers)):
            keys, values = (_visitors(size) for _ in range(2))
            planes = (*keys.planes, *values.planes)
            slots.append(_Slot(planes, LayerPages(keys, values, plans)))
        self._far = HostPages(size) if far is None else far
        self._lanes = lanes
        self._visits = _Visits(slots, self._far, lanes, size.layers, size.page_size)
        self.layers = [_Layer(self._visits, index) for index in range(size.layers)]
        self.size_bytes = self._far.size_bytes
        visiting = 2 * len(slots) * pool_bytes(size.pool, size.kept_as)
        self.near_bytes = visiting + self._far.near_bytes

    @property
    def brought_bytes(self) -> int:
        """What has come to the device so far."""
        return self._visits.brought_bytes

    def settle(self, layer: int) -> None:
        """Wait until what was added to the layer is where it lives."""
        self._visits.settle(layer)

    def forget(self, layer: int, batch: Batch) -> None:
        """The pages that the batch has added to were changed where they live."""
        self._visits.forget(layer, batch)

    def close(self) -> None:
        """End the lanes after what they were asked for; of no effect the second time."""
        self._lanes.close()
        self._far.close()


def _visitors(size: CacheSize) -> Pool:
    """A pool that a disk can fill: a processor's is aligned."""
    kept = size.kept_as
    if size.device.type == "cpu":
        return pool_over(aligned(pool_bytes(size.pool, kept)), size.pool, kept, size.dtype)
    return make_pool(size.pool, kept, size.dtype, size.device)


class _Visits:
    """Who is on the device."""

    def __init__(
        self, slots: Sequence[_Slot], far: FarPages, lanes: Lanes, layers: int, page_size: int
    ) -> None:
        self._slots = slots
        self._far = far
        self._lanes = lanes
        self._layers = layers
        self._page_size = page_size
        self._page_bytes = sum(plane[0].nbytes for plane in slots[0].planes)
        self._written = [PASSED] * layers
        self._moves: WeakKeyDictionary[Batch, _Moves] = WeakKeyDictionary()
        self.brought_bytes = 0

    def enter(self, layer: int, batch: Batch) -> LayerPages:
        """The layer's pages, with what the batch's sequences had before; ``leave`` follows. Raises
        what reading them raised."""
        slot = self._bring(layer, batch)
        if len(self._slots) > 1:
            self._bring((layer + 1) % self._layers, batch, beside=slot)
        try:
            for mark in slot.ready:
                self._lanes.compute.wait(mark)
        except BaseException:
            slot.empty(None)
            raise
        slot.ready.clear()
        return slot.visitor

    def leave(self, layer: int, batch: Batch) -> None:
        """Write out what the batch has added to the layer."""
        slot = self._slot(layer, None)
        slot.used = self._lanes.compute.mark()
        moves = self._moved(batch)
        slot.present |= moves.added
        self._lanes.outward.wait(slot.used)
        for run in moves.runs:
            self._lanes.outward.do(partial(self._far.write, layer, run, slot.planes))
        self._written[layer] = self._lanes.outward.mark()

    def settle(self, layer: int) -> None:
        """See ``StreamedKV``."""
        self._written[layer].reach()

    def forget(self, layer: int, batch: Batch) -> None:
        """See ``StreamedKV``."""
        for slot in self._slots:
            if slot.holds == layer:
                slot.present -= self._moved(batch).added

    def _moved(self, batch: Batch) -> _Moves:
        """Which pages a batch needs and changes, the same in every layer."""
        if batch not in self._moves:
            self._moves[batch] = _Moves.of(batch, self._page_size)
        return self._moves[batch]

    def _bring(self, layer: int, batch: Batch, beside: _Slot | None = None) -> _Slot:
        slot = self._slot(layer, beside)
        if slot.holds != layer:
            if slot.holds is not None:
                self._lanes.inward.wait(self._written[slot.holds])
            slot.empty(layer)
            slot.ready.append(self._lanes.inward.mark())
        missing = self._moved(batch).had - slot.present
        if missing:
            self._lanes.inward.wait(self._written[layer])
            for run in _runs(missing):
                self._lanes.inward.do(partial(self._far.read, layer, run, slot.planes))
            slot.present |= missing
            self.brought_bytes += len(missing) * self._page_bytes
            slot.ready.append(self._lanes.inward.mark())
        return slot

    def _slot(self, layer: int, beside: _Slot | None) -> _Slot:
        """The one that holds the layer, or any other than ``beside``."""
        for slot in self._slots:
            if slot.holds == layer:
                return slot
        return next(slot for slot in self._slots if slot is not beside)


class _Layer:
    """One layer as a ``LayerKV``."""

    def __init__(self, visits: _Visits, index: int) -> None:
        self._visits = visits
        self._index = index

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, batch: Batch, *, scale: float, window: int | None
    ) -> Tensor:
        """See ``LayerKV``."""
        pages = self._visits.enter(self._index, batch)
        try:
            return pages.attend(q, k, v, batch, scale=scale, window=window)
        finally:
            self._visits.leave(self._index, batch)


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
