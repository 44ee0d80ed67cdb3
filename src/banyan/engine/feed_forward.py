"""Feed-forward networks: what a block does with each token by itself.

A block calls whatever its layer holds: one gated network here, several of them in ``experts.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from banyan.engine.config import Activation
from banyan.engine.linear import Linear
from banyan.engine.native import rows


class FeedForward(Protocol):
    """[T, hidden] -> [T, hidden] in the type of the input; of a rank's share, its summand."""

    @property
    def size_bytes(self) -> int: ...

    @property
    def entries(self) -> Sequence[Linear]:
        """The matrices that a token's activations meet first, for measuring a device on them."""
        ...

    def __call__(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class GatedFfn:
    """down(activation(gate x) * up x) (Shazeer 2020). ``gate_up`` [2 ffn, hidden] is both stacked,
    ``down`` [hidden, ffn]."""

    gate_up: Linear
    down: Linear
    activation: Activation

    @property
    def size_bytes(self) -> int:
        return self.gate_up.size_bytes + self.down.size_bytes

    @property
    def entries(self) -> Sequence[Linear]:
        return (self.gate_up,)

    def __call__(self, x: Tensor) -> Tensor:
        gate_up = self.gate_up(x)
        if self.activation == "silu" and rows.takes(gate_up, torch.bfloat16, 2 * rows.LANES):
            return self.down(rows.silu_gate(gate_up))
        return self.down(gated(gate_up, self.activation))


def gated(gate_up: Tensor, activation: Activation) -> Tensor:
    """[..., 2 n] -> activation of the first half times the second half, [..., n]."""
    gate, up = gate_up.chunk(2, dim=-1)
    if activation == "silu":
        return functional.silu(gate).mul_(up)
    return functional.gelu(gate, approximate="tanh").mul_(up)
