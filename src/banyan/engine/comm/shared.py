"""HostMemory: memory that the ranks of one host share.

    counters   per rank: how many pieces it has put into its slot; one more: how many results
               there are. They only ever grow, so nothing is ever reset or lost.
    slots      per rank: what it contributes
    result     what the host's master gives back

A rank contributes to the next sum only when it has the whole result of the last one, and the master
publishes only what everyone has contributed to. So no slot is written while it is read, and there
is nothing to lock. The memory has no name (memfd_create): only processes that inherit its
descriptor can see it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from typing import TYPE_CHECKING, Final

import numpy as np

from banyan.core.errors import PeerLost
from banyan.engine.comm import futex

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLOT_BYTES: Final = 16 << 20
"""Size of a slot; longer messages go through in rounds of this size."""
LINE: Final = 64
"""Bytes between counters: a cache line, so that ranks do not slow each other by writing."""
LOOK_S: Final = 0.1
"""How often a sleeper looks whether the one it waits for still lives."""
WRAP: Final = 1 << 32


class HostMemory:
    """One rank's view; ``index`` is its place among the ``ranks`` of its host. ``spin_s`` as in
    ``Link``."""

    def __init__(self, fd: int, index: int, ranks: int, slot_bytes: int) -> None:
        self.index = index
        self.ranks = ranks
        self.slot_bytes = slot_bytes
        self.spin_s = 0.0
        self._passed = 0
        self._map = mmap.mmap(fd, _total(ranks, slot_bytes))
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        view = memoryview(self._map)
        head = _head(ranks)
        words: NDArray[np.uint32] = np.frombuffer(view[:head], dtype=np.uint32)
        self._counters = words[:: LINE // 4]
        self._pids = words[1 :: LINE // 4]
        self._pids[index] = os.getpid()
        ends = [head + i * slot_bytes for i in range(ranks + 2)]
        self._slots = [view[ends[i] : ends[i + 1]] for i in range(ranks)]
        self.result = view[ends[ranks] : ends[ranks + 1]]

    def slot(self, index: int) -> memoryview:
        """What the rank at place ``index`` contributes."""
        return self._slots[index]

    def contribute(self) -> None:
        """Say that one more piece of my slot is whole."""
        self._advance(self.index)

    def publish(self) -> None:
        """Say that one more piece of the result is whole; the master alone does."""
        self._advance(self.ranks)

    def wait_contribution(self, index: int, count: int) -> None:
        """Wait until the rank at ``index`` has contributed ``count`` pieces of this round.

        Raises ``PeerLost`` when its process has ended.
        """
        self._wait(index, count, self._pids[index])

    def wait_result(self, count: int, master: int) -> None:
        """Wait until the rank at place ``master`` has published ``count`` pieces of this round.

        Raises ``PeerLost`` when its process has ended.
        """
        self._wait(self.ranks, count, self._pids[master])

    def end_round(self, pieces: int) -> None:
        """Count the next round's pieces from here; every rank says so after each round."""
        self._passed += pieces
        # The master has contributed without saying so; another may lead the next round.
        self._counters[self.index] = self._passed % WRAP

    def _advance(self, counter: int) -> None:
        self._counters[counter] = (int(self._counters[counter]) + 1) % WRAP
        futex.wake(self._address + counter * LINE)

    def _wait(self, counter: int, count: int, pid: np.uint32) -> None:
        target = (self._passed + count) % WRAP
        if self.spin_s:
            end = time.perf_counter() + self.spin_s
            while time.perf_counter() < end:
                if _reached(int(self._counters[counter]), target):
                    return
        while not _reached(value := int(self._counters[counter]), target):
            futex.wait(self._address + counter * LINE, value, LOOK_S)
            if not _lives(int(pid)) and not _reached(int(self._counters[counter]), target):
                raise PeerLost(f"A rank on this host (process {pid}) has ended.")


def create(ranks: int, slot_bytes: int = SLOT_BYTES) -> int:
    """Memory for the ranks of one host: a descriptor for their processes to inherit."""
    fd = os.memfd_create("banyan-ranks", os.MFD_CLOEXEC)
    os.ftruncate(fd, _total(ranks, slot_bytes))
    return fd


def _head(ranks: int) -> int:
    return -(-(ranks + 1) * LINE // mmap.PAGESIZE) * mmap.PAGESIZE


def _total(ranks: int, slot_bytes: int) -> int:
    return _head(ranks) + (ranks + 1) * slot_bytes


def _reached(value: int, target: int) -> bool:
    """Whether a counter has come to ``target``; right across the wrap of 32 bits."""
    return (value - target) % WRAP < WRAP // 2


def _lives(pid: int) -> bool:
    """True also for a rank that has not attached yet."""
    if pid == 0:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
