"""Window: a few slots that layers pass through, in the order in which they are computed.

    computing thread                      the window's own thread
      with window.layer(i) as w:            Carrier.bring(i + 1, slot)
          Carrier.enter(slot)                 whole, or the layer's error is kept for who asks
          ... compute with w ...
          Carrier.leave(slot)

What is needed next is brought while a layer is computed, across the end of a pass into the first
layers of the next. When no slot is free, the layer that is needed last gives way, which for a cycle
is the best that can be done (Belady 1966). Any order of asking is served; the cycle's is the fast
one. It knows no device and no weights: a ``Carrier`` does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from banyan.core.errors import EngineFailed

Content = TypeVar("Content")
Brought = TypeVar("Brought", covariant=True)
LEAST_SLOTS: Final = 2
"""One layer in use and one on its way; two halves of a batch may also be in neighbouring layers."""


class Carrier(Protocol[Brought]):
    """Brings layers into slots: what a device must know how to do, and nothing else.

    On a processor ``bring`` reads from the disk, and ``enter`` and ``leave`` do nothing. On a card
    ``bring`` lets the copy stream wait for the event of the slot's last ``leave``, queues the copy
    from pinned memory and records an event; ``enter`` lets the computing stream wait for that
    event; ``leave`` records one on the computing stream. Nobody waits on the host then. Two windows
    make three tiers: the card's ``bring`` copies out of ``with host_window.layer(i)``.
    """

    @property
    def slots(self) -> int:
        """Layers it has room for: ``LEAST_SLOTS`` or more."""
        ...

    def bring(self, layer: int, slot: int) -> Brought:
        """Fill the slot with the layer; what it returns is the layer, as views of the slot.

        Called by the window's thread alone, one layer at a time, never for a slot that is in use.
        Returns when the layer is whole, or when ``enter`` will make sure that it is. What it raises
        is raised by the ``layer`` that asks for it.
        """
        ...

    def enter(self, slot: int) -> None:
        """The calling thread begins to compute with the slot; others may be in it already."""
        ...

    def leave(self, slot: int) -> None:
        """It has ended; called however it ended."""
        ...

    def close(self) -> None:
        """Nothing is brought any more."""
        ...


@dataclass(slots=True)
class _Slot(Generic[Content]):
    number: int
    layer: int | None = None
    content: Content | None = None
    failure: Exception | None = None
    is_loading: bool = False
    users: int = 0


class Window(Generic[Content]):
    """``order`` names the layers that pass through, each once. Thread-safe.

    ``brought`` counts layers, ``waited_s`` the time that computing stood still for them.
    """

    def __init__(self, order: Sequence[int], carrier: Carrier[Content]) -> None:
        if carrier.slots < LEAST_SLOTS:
            raise ValueError(f"a window needs {LEAST_SLOTS} slots, not {carrier.slots}")
        self.brought = 0
        self.waited_s = 0.0
        self._order = tuple(order)
        self._places = {layer: place for place, layer in enumerate(order)}
        self._carrier = carrier
        self._slots: list[_Slot[Content]] = [_Slot(number) for number in range(carrier.slots)]
        self._current = self._order[-1]
        self._wanted: list[int] = []
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="layer reader", daemon=True)
        self._thread.start()

    @contextmanager
    def layer(self, layer: int) -> Iterator[Content]:
        """The layer, in place until the context ends. Raises what bringing it raised, and
        ``EngineFailed`` once the window is closed."""
        slot, content = self._take(layer)
        try:
            self._carrier.enter(slot.number)
            try:
                yield content
            finally:
                self._carrier.leave(slot.number)
        finally:
            with self._changed:
                slot.users -= 1
                self._changed.notify_all()

    @property
    def held(self) -> list[int]:
        """The layers that are in slots now, or on their way into them."""
        return [slot.layer for slot in self._slots if slot.layer is not None]

    def close(self) -> None:
        """End the thread after the layer that it is at; of no effect the second time."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        self._carrier.close()

    def _take(self, layer: int) -> tuple[_Slot[Content], Content]:
        started = time.perf_counter()
        with self._changed:
            self._wanted.append(layer)
            self._changed.notify_all()
            try:
                slot, content = self._arrived(layer)
            finally:
                self._wanted.remove(layer)
            slot.users += 1
            self._current = layer
            self.waited_s += time.perf_counter() - started
            self._changed.notify_all()
            return slot, content

    def _arrived(self, layer: int) -> tuple[_Slot[Content], Content]:
        """Wait for the layer; its failure is told once, and the next who asks lets it be brought
        again."""
        while not self._closed:
            slot = self._holding(layer)
            if slot is not None and slot.failure is not None:
                failure, slot.failure, slot.layer = slot.failure, None, None
                raise failure
            if slot is not None and slot.content is not None:
                return slot, slot.content
            self._changed.wait()
        raise EngineFailed("The weights were closed.")

    def _run(self) -> None:
        while True:
            with self._changed:
                chosen = self._choice()
                while chosen is None and not self._closed:
                    self._changed.wait()
                    chosen = self._choice()
                if self._closed or chosen is None:
                    return
                slot, layer = chosen
                slot.layer, slot.content, slot.failure = layer, None, None
                slot.is_loading = True
            self._bring(slot, layer)

    def _bring(self, slot: _Slot[Content], layer: int) -> None:
        content, failure = None, None
        try:
            content = self._carrier.bring(layer, slot.number)
        except Exception as error:  # whatever it is, who asks for the layer is told
            failure = error
        with self._changed:
            slot.content, slot.failure = content, failure
            slot.is_loading = False
            self.brought += 1
            self._changed.notify_all()

    def _choice(self) -> tuple[_Slot[Content], int] | None:
        """What to bring now, and where to; None while there is nothing, or no room, for it."""
        place = self._places[self._current] + 1
        coming = (*self._wanted, *self._order[place:], *self._order[:place])
        layer = next((layer for layer in coming if self._holding(layer) is None), None)
        if layer is None:
            return None
        free = [slot for slot in self._slots if not slot.users and not slot.is_loading]
        slot = max(free, key=lambda slot: self._distance(slot.layer), default=None)
        if slot is None or self._distance(slot.layer) <= self._distance(layer):
            return None
        return slot, layer

    def _distance(self, layer: int | None) -> int:
        """How many layers come before it: none before a wanted one, all before an empty slot."""
        if layer is None:
            return len(self._order)
        if layer in self._wanted:
            return -1
        return (self._places[layer] - self._places[self._current] - 1) % len(self._order)

    def _holding(self, layer: int) -> _Slot[Content] | None:
        return next((slot for slot in self._slots if slot.layer == layer), None)
