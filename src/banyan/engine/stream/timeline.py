"""Timeline: what a rank holds, layer by layer and step by step, against its budget.

One record when a layer begins to be computed. What is counted is exact; what the process has taken
in all is measured, and the difference is activations, workspace and the process itself.
"""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import Final

from banyan.engine.stats import MemorySample

MOST_SAMPLES: Final = 4096
"""The last that are kept: a hundred steps of a model of forty layers."""
STATM: Final = Path("/proc/self/statm")
PAGE_BYTES: Final = 4096


class Timeline:
    """``resident_bytes`` of weights stay, ``kv_bytes`` are the pages' pool. Written by the
    computing thread, read by any."""

    def __init__(self, resident_bytes: int, kv_bytes: int) -> None:
        self._resident_bytes = resident_bytes
        self._kv_bytes = kv_bytes
        self._samples: deque[MemorySample] = deque(maxlen=MOST_SAMPLES)
        self._step = -1
        self._layer = 0

    def record(self, layer: int, passing_bytes: int) -> None:
        """The layer begins; ``passing_bytes`` of layers that are streamed are in their slots. A
        step begins with the first layer, or one that is not after the one before."""
        self._step += layer < self._layer or self._step < 0
        self._layer = layer
        self._samples.append(
            MemorySample(
                at_s=time.monotonic(),
                step=self._step,
                layer=layer,
                weights_bytes=self._resident_bytes + passing_bytes,
                kv_bytes=self._kv_bytes,
                taken_bytes=private_bytes(),
            )
        )

    @property
    def samples(self) -> tuple[MemorySample, ...]:
        return tuple(self._samples.copy())


def private_bytes() -> int:
    """Memory of this process that it shares with nobody and no file holds."""
    fields = STATM.read_text().split()
    return (int(fields[1]) - int(fields[2])) * PAGE_BYTES
