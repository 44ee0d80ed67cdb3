"""Feed-forward networks: what a block does with each token by itself.

A block calls whatever its layer holds: one gated network here, several of them in ``experts.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from torch.nn import functional

from banyan.engine.config import Activation
from banyan.engine.linear import Linear


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
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        if self.activation == "silu":
            gate = functional.silu(gate)
        else:
            gate = functional.gelu(gate, approximate="tanh")
        return self.down(gate.mul_(up))
