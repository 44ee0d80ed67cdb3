"""Disk: the way to a processor: layers come from a staging file into memory."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from banyan.engine.config import ModelConfig
from banyan.engine.stream.direct import aligned
from banyan.engine.stream.pace import measure_pace
from banyan.engine.stream.staging import Staging
from banyan.engine.weights import Head, LayerWeights
from banyan.plan.budget import Fit, Pace


class ToProcessor:
    """A ``Way``."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging

    def pace(self, model: ModelConfig, head: Head | None, dtype: torch.dtype) -> Pace:
        """See ``Way``."""
        return measure_pace(self._staging, model, head, dtype)

    def keep(self, layer: int) -> LayerWeights:
        """See ``Way``."""
        return self._staging.read(layer, aligned(self._staging.layers[layer].size_bytes))

    def carrier(self, fit: Fit) -> DiskCarrier:
        """See ``Way``."""
        return DiskCarrier(self._staging, fit.slots, fit.slot_bytes)


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
