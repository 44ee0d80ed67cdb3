"""GroupComm: tensors into buffers and back, so that a model's ranks sum by any collective.

A tensor in a host's memory is summed where it lies. One on a card goes through pinned memory, of
which one piece is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from banyan.engine.comm.collective import Buffer, Collective, NumberKind

KINDS: Final[dict[torch.dtype, NumberKind]] = {
    torch.float32: "float32",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
}


class GroupComm:
    """The ``Comm`` of a model whose ranks talk by ``collective``; ``on_sum`` is called before each
    sum."""

    def __init__(self, collective: Collective, on_sum: Callable[[], None] = lambda: None) -> None:
        self._collective = collective
        self._on_sum = on_sum
        self._pinned = torch.empty(0, dtype=torch.uint8)

    def all_reduce(self, x: Tensor) -> Tensor:
        """See ``Comm``; works in place where ``x`` is contiguous. Raises ``PeerLost``."""
        self._on_sum()
        x = x.contiguous()
        if x.device.type == "cpu":
            self._collective.all_reduce(Buffer(bytes_of(x), KINDS[x.dtype]))
            return x
        staged = self._staging(x.numel() * x.element_size()).view(x.dtype).view(x.shape)
        staged.copy_(x)
        self._collective.all_reduce(Buffer(bytes_of(staged), KINDS[x.dtype]))
        return x.copy_(staged)

    def _staging(self, size: int) -> Tensor:
        if len(self._pinned) < size:
            self._pinned = torch.empty(size, dtype=torch.uint8, pin_memory=True)
        return self._pinned[:size]


def bytes_of(x: Tensor) -> memoryview:
    """The memory of a contiguous tensor on the CPU, writable, as bytes."""
    return memoryview(x.view(-1).view(torch.uint8).numpy())
