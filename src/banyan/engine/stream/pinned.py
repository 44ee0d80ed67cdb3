"""Pinned memory: a host's memory that a card reads and writes by itself, at the link's full speed.

Memory is pinned where it lies, to the byte; torch's own pinned memory comes in powers of two. A
system may refuse (a limit on locked memory, or none left): the same memory then serves unpinned,
several times as slow, and says so.
"""

from __future__ import annotations

import logging
import mmap
import weakref
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

_log = logging.getLogger(__name__)


class KeptLayers:
    """Layers that stay in the host's memory: ``HostLayers`` (``card.py``) with nothing to wait
    for."""

    stay = True

    def __init__(self, runs: Mapping[int, Tensor]) -> None:
        self._runs = {index: nullcontext(run) for index, run in runs.items()}

    def layer(self, index: int) -> AbstractContextManager[Tensor]:
        return self._runs[index]

    def close(self) -> None:
        """They go with their last reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMemory:
    """``data`` is uint8 [size] that begins on a page."""

    data: Tensor
    is_pinned: bool


def host_memory(size: int, device: torch.device) -> HostMemory:
    """``size`` bytes for copies to and from ``device``, pinned where that is a card and the system
    lets it; zeros that take no memory until they are written or pinned."""
    memory = np.frombuffer(mmap.mmap(-1, max(size, 1)), dtype=np.uint8)
    data = torch.from_numpy(memory)[:size]
    if device.type != "cuda" or size == 0:
        return HostMemory(data=data, is_pinned=False)
    is_pinned = _pin(data, device)
    if is_pinned:
        unpin = torch.cuda.cudart().cudaHostUnregister
        # The array goes before the memory that it shows.
        weakref.finalize(memory, unpin, data.data_ptr()).atexit = False
    else:
        _say_refused(device)
    return HostMemory(data=data, is_pinned=is_pinned)


@cache
def _say_refused(device: torch.device) -> None:
    """Once is enough: a refusal seldom comes alone."""
    _log.warning(
        "The system refuses to pin memory: copies to and from %s are several times slower. "
        "Raise the limit on locked memory (ulimit -l), or lower the host memory budget.",
        device,
    )


def _pin(data: Tensor, device: torch.device) -> bool:
    with torch.cuda.device(device):
        code = torch.cuda.cudart().cudaHostRegister(data.data_ptr(), data.numel(), 0)
        if int(code) == 0:
            return True
        try:  # the refusal would be reported by whatever the card is asked next
            torch.zeros(1, device=device)
            torch.cuda.synchronize(device)
        except RuntimeError as error:
            _log.debug("after the refusal: %s", error)
    return False
