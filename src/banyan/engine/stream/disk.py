"""Disk: the carrier of a processor's ranks: layers come from a staging file into memory."""

from __future__ import annotations

import time

from torch import Tensor

from banyan.engine.stream.direct import aligned
from banyan.engine.stream.staging import Staging
from banyan.engine.weights import LayerWeights


class DiskCarrier:
    """A ``Carrier``. ``read_bytes`` and ``read_s`` say how much it has read, and how long that
    took."""

    def __init__(self, staging: Staging, slots: int, slot_bytes: int) -> None:
        self.read_bytes = 0
        self.read_s = 0.0
        self._staging = staging
        self._buffers: list[Tensor] = [aligned(slot_bytes) for _ in range(slots)]

    @property
    def slots(self) -> int:
        return len(self._buffers)

    def bring(self, layer: int, slot: int) -> LayerWeights:
        """See ``Carrier``; raises what ``Staging.read`` raises."""
        started = time.perf_counter()
        weights = self._staging.read(layer, self._buffers[slot])
        self.read_s += time.perf_counter() - started
        self.read_bytes += self._staging.layers[layer].size_bytes
        return weights

    def enter(self, slot: int) -> None:
        """Its bytes are there: ``bring`` has waited for them."""

    def leave(self, slot: int) -> None:
        """Products are done when their call returns."""

    def close(self) -> None:
        """The staging file belongs to who opened it."""
