"""ToCard: layers on their way to a card: from the disk into pinned memory, from there into slots.

What the host's budget holds is read once and stays there; where that is too little for all, layers
pass through the host's memory, too, one window feeding the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

import torch
from torch import Tensor

from banyan.core.errors import PlanImpossible
from banyan.engine.config import ModelConfig
from banyan.engine.stream.card import CardCarrier
from banyan.engine.stream.direct import rounded
from banyan.engine.stream.form import put_together
from banyan.engine.stream.lanes import Lanes
from banyan.engine.stream.pace import median_s, multiply
from banyan.engine.stream.pinned import KeptLayers, host_memory
from banyan.engine.stream.staging import Staging
from banyan.engine.stream.window import LEAST_SLOTS, Window
from banyan.engine.weights import Head, LayerWeights
from banyan.plan.budget import Fit, Pace
from banyan.plan.sizes import in_words

MOST_HOST_SLOTS: Final = 8


class ToCard:
    """A ``Way``. ``host_bytes`` is what may be held in the host's memory (0: all that passes)."""

    def __init__(self, staging: Staging, device: torch.device, host_bytes: int) -> None:
        self._staging = staging
        self._device = device
        self._host_bytes = host_bytes

    @torch.inference_mode()
    def pace(self, model: ModelConfig, head: Head | None, dtype: torch.dtype) -> Pace:
        """See ``Way``; where layers come from the disk each time, its speed is theirs."""
        sizes = [layer.size_bytes for layer in self._staging.layers]
        run = host_memory(rounded(sizes[0]), self._device).data
        slot = torch.empty_like(run, device=self._device)
        copy_s = self._seconds(partial(slot.copy_, run, non_blocking=True))
        if self._host_bytes and sum(sizes) > self._host_bytes:
            copy_s = max(copy_s, self._seconds(partial(self._staging.read, 0, run)))
        self._staging.read(0, run)
        slot.copy_(run)
        weights = put_together(self._staging.layers[0].description, slot)
        layer_s = self._seconds(partial(multiply, weights, model, dtype, self._device))
        row = torch.ones(1, model.hidden, dtype=dtype, device=self._device)
        rest_s = 0.0 if head is None else self._seconds(partial(head.linear, row))
        return Pace(copy_bandwidth=sizes[0] / copy_s, layer_s=layer_s, rest_s=rest_s)

    def keep(self, layer: int) -> LayerWeights:
        """See ``Way``."""
        entry = self._staging.layers[layer]
        run = host_memory(entry.size_bytes, self._device).data
        self._staging.read(layer, run)
        return put_together(entry.description, run.to(self._device, copy=True))

    def carrier(self, fit: Fit) -> CardCarrier:
        """See ``Way``."""
        kept = not self._host_bytes or fit.streamed_bytes <= self._host_bytes
        host = self._all(fit.streamed) if kept else self._some(fit)
        return CardCarrier(
            host,
            lambda layer, run: put_together(self._staging.layers[layer].description, run),
            slot_bytes=fit.slot_bytes,
            slots=fit.slots,
            device=self._device,
            lanes=Lanes.of(self._device),
        )

    def _all(self, layers: Sequence[int]) -> KeptLayers:
        runs = {}
        for layer in layers:
            size = self._staging.layers[layer].size_bytes
            runs[layer] = host_memory(size, self._device).data
            self._staging.read(layer, runs[layer])
        return KeptLayers(runs)

    def _some(self, fit: Fit) -> PassingLayers:
        one = rounded(fit.slot_bytes)
        slots = min(self._host_bytes // one, MOST_HOST_SLOTS)
        if slots < LEAST_SLOTS:
            raise PlanImpossible(
                f"Layers do not pass through {in_words(self._host_bytes)} of the host's memory:"
                f" {LEAST_SLOTS} at a time are {in_words(LEAST_SLOTS * one)}.",
                remedy="Raise host_memory.",
            )
        buffers = [host_memory(one, self._device).data for _ in range(slots)]
        return PassingLayers(Window(fit.streamed, RunCarrier(self._staging, buffers)))

    def _seconds(self, work: Callable[[], object]) -> float:
        def done() -> None:
            work()
            if self._device.type == "cuda":
                torch.cuda.synchronize(self._device)

        return median_s(done)


def hold_card_to(limit: int, device: torch.device) -> None:
    """Let torch refuse what goes beyond ``limit`` bytes of the card, instead of taking it."""
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total), device)


class PassingLayers:
    """``HostLayers`` that come from the disk each time they are wanted."""

    stay = False

    def __init__(self, window: Window[Tensor]) -> None:
        self._window = window

    def layer(self, index: int) -> AbstractContextManager[Tensor]:
        return self._window.layer(index)

    def close(self) -> None:
        self._window.close()


class RunCarrier:
    """A ``Carrier`` of layers as their bytes, from a staging file into buffers of the host."""

    def __init__(self, staging: Staging, buffers: Sequence[Tensor]) -> None:
        self._staging = staging
        self._buffers = buffers

    @property
    def slots(self) -> int:
        return len(self._buffers)

    def bring(self, layer: int, slot: int) -> Tensor:
        """See ``Carrier``; raises what ``Staging.read`` raises."""
        self._staging.read(layer, self._buffers[slot])
        return self._buffers[slot][: self._staging.layers[layer].size_bytes]

    def enter(self, slot: int) -> None:
        """Its bytes are there."""

    def leave(self, slot: int) -> None:
        """They have been copied."""

    def close(self) -> None:
        """The staging file belongs to who opened it."""
