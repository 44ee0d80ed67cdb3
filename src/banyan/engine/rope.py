"""Rotary position embedding: the angles of a step, computed once and used by every layer.

Heads are rotated in the half-split order of Hugging Face checkpoints: number i pairs with number
i + d/2. Su et al. 2021; scalings as ``RopeConfig`` names them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from banyan.engine.batch import Batch
from banyan.engine.config import RopeConfig
from banyan.engine.native import rows


@dataclass(frozen=True, slots=True)
class Rotation:
    """``cos`` and ``sin`` [T, 1, d]; the first half of ``sin`` is negated (see ``rotate``)."""

    cos: Tensor
    sin: Tensor

    def to(self, device: torch.device) -> Rotation:
        return Rotation(self.cos.to(device), self.sin.to(device))


class Rope:
    """One way of turning positions into angles."""

    def __init__(self, config: RopeConfig, head_dim: int) -> None:
        self._config = config
        self._head_dim = head_dim
        self._frequencies = frequencies(config, head_dim)

    def rotation(self, batch: Batch, dtype: torch.dtype) -> Rotation:
        """The angles of every token of the batch."""
        by_token = self._frequencies
        if self._config.kind == "dynamic":
            by_token = self._stretched(batch)
        angles = batch.positions.unsqueeze(-1) * by_token
        cos = angles.cos().mul_(self._config.attention_factor).to(dtype)
        sin = angles.sin().mul_(self._config.attention_factor).to(dtype)
        return Rotation(
            torch.cat((cos, cos), dim=-1).unsqueeze(1), torch.cat((-sin, sin), dim=-1).unsqueeze(1)
        )

    def _stretched(self, batch: Batch) -> Tensor:
        """Frequencies [T, d/2] that depend on how long each token's sequence has become."""
        by_span = []
        for span in batch.spans:
            longest = max(span.context, self._config.original_context)
            row = frequencies(self._config, self._head_dim, length=longest)
            by_span.append(row.expand(span.length, -1))
        return torch.cat(by_span)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Rotate [T, heads, d]; may work in place."""
    fits = x.dtype == torch.bfloat16 and x.stride()[1:] == (x.shape[-1], 1)
    if fits and rows.takes(rotation.cos, torch.bfloat16, 2 * rows.LANES):
        return rows.rotate_heads(x, rotation.cos, rotation.sin)
    return rotated(x, rotation)


def rotated(x: Tensor, rotation: Rotation) -> Tensor:
    """The same in torch's operations. ``roll`` swaps the halves, as the sign in ``sin`` expects."""
    swapped = x.roll(x.shape[-1] // 2, -1)
    return torch.addcmul(x * rotation.cos, swapped, rotation.sin)


def frequencies(config: RopeConfig, head_dim: int, *, length: int = 0) -> Tensor:
    """Radians per position, float32 [d/2]; ``length`` matters to the ``dynamic`` kind only."""
    theta = config.theta
    if config.kind == "dynamic" and length > config.original_context:
        growth = config.factor * length / config.original_context - (config.factor - 1)
        theta *= growth ** (head_dim / (head_dim - 2))
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
    plain = 1.0 / (theta**exponents)
    if config.kind == "linear":
        return plain / config.factor
    if config.kind == "divisors":
        return plain / torch.tensor(config.divisors)
    if config.kind == "llama3":
        return _llama3(plain, config)
    if config.kind == "yarn":
        return _yarn(plain, config, head_dim)
    return plain


def _llama3(plain: Tensor, config: RopeConfig) -> Tensor:
    """Long waves are slowed by ``factor``, short ones kept, those between blended."""
    waves = 2 * math.pi / plain
    low, high = config.low_frequency_factor, config.high_frequency_factor
    blend = ((config.original_context / waves - low) / (high - low)).clamp(0, 1)
    return (1 - blend) * plain / config.factor + blend * plain


def _yarn(plain: Tensor, config: RopeConfig, head_dim: int) -> Tensor:
    """Dimensions that turn often are kept, those that turn seldom interpolated (YaRN, 3.2)."""

    def dimension(turns: float) -> float:
        reach = math.log(config.original_context / (turns * 2 * math.pi))
        return head_dim * reach / (2 * math.log(config.theta))

    low, high = dimension(config.beta_fast), dimension(config.beta_slow)
    if config.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    steps = torch.arange(head_dim // 2, dtype=torch.float32)
    interpolated = ((steps - low) / max(high - low, 0.001)).clamp(0, 1)
    return plain / config.factor * interpolated + plain * (1 - interpolated)
