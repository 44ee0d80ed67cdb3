"""Direct: reads and writes that go past the page cache, into and out of aligned memory.

The page cache would hold a second copy of every layer, and charge it to the same budget. Where a
file system knows no direct access (tmpfs), the cache is used and emptied again: slower, and
``is_direct`` says so.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

ALIGNMENT: Final = 4096
"""Of addresses, sizes and offsets: what every disk takes."""


def aligned(size_bytes: int) -> Tensor:
    """Zeros, uint8 [size rounded up to ``ALIGNMENT``], that take no memory until written."""
    memory = mmap.mmap(-1, rounded(size_bytes), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # large pages save time, nothing else
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=torch.uint8)


def rounded(size_bytes: int) -> int:
    return max(ALIGNMENT, -(-size_bytes // ALIGNMENT) * ALIGNMENT)


def bytes_of(buffer: Tensor) -> memoryview:
    return memoryview(buffer.numpy())


class DirectFile:
    """A file open for direct access; buffers, sizes and offsets must be aligned."""

    def __init__(self, path: Path, *, write: bool = False) -> None:
        """Raises ``OSError``."""
        flags = os.O_CLOEXEC | (os.O_RDWR | os.O_CREAT if write else os.O_RDONLY)
        self.is_direct = True
        try:
            self._descriptor = os.open(path, flags | os.O_DIRECT, 0o600)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._descriptor = os.open(path, flags, 0o600)
            self.is_direct = False

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill ``buffer`` from ``offset`` on; how many bytes there were. Raises ``OSError``."""
        done = 0
        while done < len(buffer):
            count = os.preadv(self._descriptor, [buffer[done:]], offset + done)
            if count == 0:
                break
            done += count
        self._forget(offset, len(buffer))
        return done

    def write_from(self, buffer: memoryview, offset: int) -> None:
        """Raises ``OSError``, also where the disk is full."""
        done = 0
        while done < len(buffer):
            done += os.pwritev(self._descriptor, [buffer[done:]], offset + done)

    def sync(self) -> None:
        os.fsync(self._descriptor)

    @property
    def status(self) -> os.stat_result:
        return os.fstat(self._descriptor)

    def close(self) -> None:
        """Of no effect the second time."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _forget(self, offset: int, size: int) -> None:
        if not self.is_direct:
            os.posix_fadvise(self._descriptor, offset, size, os.POSIX_FADV_DONTNEED)
