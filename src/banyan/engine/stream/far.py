"""Far: where the pages of streamed layers live while their layer is not computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from banyan.engine.kv import CacheSize
from banyan.engine.pools import pool_bytes, pool_over
from banyan.engine.stream.pinned import host_memory

Planes = Sequence[Tensor]
"""Of the keys and values of one layer; in each the first dimension is the page."""


class FarPages(Protocol):
    """The pages of all layers. What was written of a page is what is read of it; both are called
    from lanes, each from one."""

    @property
    def size_bytes(self) -> int: ...

    @property
    def near_bytes(self) -> int:
        """What they take of the device all the same."""
        ...

    def read(self, layer: int, run: slice, near: Planes) -> None:
        """The pages of ``run`` into those of ``near``. Raises ``EngineFailed``."""
        ...

    def write(self, layer: int, run: slice, near: Planes) -> None:
        """The pages of ``run`` out of those of ``near``. A page that cannot be written is lost:
        reading it raises, until it is written again."""
        ...

    def close(self) -> None: ...


class HostPages:
    """``FarPages`` in the host's memory, pinned where its device is a card. ``pools`` are the keys
    and the values of each layer."""

    near_bytes = 0

    def __init__(self, size: CacheSize) -> None:
        half = pool_bytes(size.pool, size.kept_as)
        self.size_bytes = 2 * size.layers * half
        memory = host_memory(self.size_bytes, size.device)
        halves = [
            pool_over(part, size.pool, size.kept_as, size.dtype) for part in memory.data.split(half)
        ]
        self.pools = list(zip(halves[::2], halves[1::2], strict=True))

    def read(self, layer: int, run: slice, near: Planes) -> None:
        for target, source in zip(near, self._planes(layer), strict=True):
            target[run].copy_(source[run], non_blocking=True)

    def write(self, layer: int, run: slice, near: Planes) -> None:
        for target, source in zip(self._planes(layer), near, strict=True):
            target[run].copy_(source[run], non_blocking=True)

    def close(self) -> None:
        """Its memory goes with it."""

    def _planes(self, layer: int) -> Planes:
        keys, values = self.pools[layer]
        return (*keys.planes, *values.planes)
