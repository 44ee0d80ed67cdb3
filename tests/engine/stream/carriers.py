"""A carrier without weights: layers are numbers, and its slots remember what was done to them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Recorded:
    """Fills slots with the layer's number; fails the test when a slot is touched out of turn.

    ``delay_s`` of a layer is slept in the middle of bringing it; ``failures`` are raised once each.
    """

    def __init__(self, slots: int, delay_s: Callable[[int], float] = lambda layer: 0.0) -> None:
        self.slots = slots
        self.brought: list[int] = []
        self.most_full = 0
        self.faults: list[str] = []
        self.failures: dict[int, Exception] = {}
        self.is_closed = False
        self._delay_s = delay_s
        self._contents: list[list[int]] = [[-1, -1] for _ in range(slots)]
        self._users = [0] * slots
        self._lock = threading.Lock()

    def bring(self, layer: int, slot: int) -> list[int]:
        content = self._contents[slot]
        if self._users[slot]:
            self.faults.append(f"slot {slot} was overwritten while it was in use")
        if layer in self.failures:
            raise self.failures.pop(layer)
        content[0] = layer
        delay_s = self._delay_s(layer)
        if delay_s:
            time.sleep(delay_s)
        content[1] = layer
        self.brought.append(layer)
        self.most_full = max(self.most_full, len({whole for _, whole in self._contents} - {-1}))
        return content

    def enter(self, slot: int) -> None:
        with self._lock:
            self._users[slot] += 1

    def leave(self, slot: int) -> None:
        with self._lock:
            self._users[slot] -= 1

    def close(self) -> None:
        if self.is_closed:
            self.faults.append("closed twice")
        self.is_closed = True
