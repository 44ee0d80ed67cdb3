"""CardCarrier: brings layers from the host's memory into slots on a card.

Copies have a lane of their own, so they go on while the model computes or waits for a sum of other
ranks. Nothing waits on the host: a copy begins on the card when what used its slot has been
computed, and what computes with it begins when it is whole.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor

from banyan.engine.stream.form import ALIGNMENT
from banyan.engine.stream.lanes import PASSED, Lanes, Mark
from banyan.engine.weights import LayerWeights

Read = Callable[[int, Tensor], LayerWeights]
"""The layer of this index whose bytes these are, as views of them."""


class HostLayers(Protocol):
    """The bytes of layers in the host's memory."""

    @property
    def stay(self) -> bool:
        """Whether they stay where they are; otherwise they only pass through, on their way from a
        disk, and last as long as their context."""
        ...

    def layer(self, index: int) -> AbstractContextManager[Tensor]:
        """uint8 [n]. Raises why they do not come."""
        ...

    def close(self) -> None:
        """Nothing more is wanted."""
        ...


class CardCarrier:
    """A ``Carrier`` of ``slots`` layers of at most ``slot_bytes`` each on ``device``."""

    def __init__(
        self,
        host: HostLayers,
        read: Read,
        *,
        slot_bytes: int,
        slots: int,
        device: torch.device,
        lanes: Lanes,
    ) -> None:
        size = -(-slot_bytes // ALIGNMENT) * ALIGNMENT
        memory = torch.empty(slots * size, dtype=torch.uint8, device=device)
        self._memory = memory.split(size)
        self._ready: list[Mark] = [PASSED] * slots
        self._used: list[Mark] = [PASSED] * slots
        self._host = host
        self._read = read
        self._lanes = lanes
        self.slots = slots
        self.size_bytes = memory.numel()
        self.moved_bytes = 0

    def bring(self, layer: int, slot: int) -> LayerWeights:
        """See ``Carrier``. Raises what the host's memory raises."""
        inward = self._lanes.inward
        with self._host.layer(layer) as source:
            target = self._memory[slot][: len(source)]
            inward.wait(self._used[slot])
            inward.copy(target, source)
            self._ready[slot] = inward.mark()
            if not self._host.stay:
                self._ready[slot].reach()
        self.moved_bytes += len(source)
        return self._read(layer, target)

    def enter(self, slot: int) -> None:
        """See ``Carrier``."""
        self._lanes.compute.wait(self._ready[slot])

    def leave(self, slot: int) -> None:
        """See ``Carrier``."""
        self._used[slot] = self._lanes.compute.mark()

    def close(self) -> None:
        """Wait until nothing is copied any more: its memory is about to be somebody else's."""
        self._lanes.inward.mark().reach()
        self._host.close()
