"""Way: how layers get from a staging file to where they are computed, on one kind of device."""

from __future__ import annotations

from typing import Protocol

import torch

from banyan.engine.config import ModelConfig
from banyan.engine.stream.window import Carrier
from banyan.engine.weights import Head, LayerWeights
from banyan.plan.budget import Fit, Pace


class Way(Protocol):
    """``disk.py`` leads to a processor, ``to_card.py`` to a card."""

    def pace(self, model: ModelConfig, head: Head | None, dtype: torch.dtype) -> Pace:
        """How fast layers come, and how fast they are computed."""
        ...

    def keep(self, layer: int) -> LayerWeights:
        """The layer, on the device for good. Raises what ``Staging.read`` raises."""
        ...

    def carrier(self, fit: Fit) -> Carrier[LayerWeights]:
        """What brings the layers that pass. Raises ``PlanImpossible`` where the host's memory is
        too small for them."""
        ...
