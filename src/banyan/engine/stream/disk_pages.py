"""DiskPages: keys and values in a file of their own, for a processor's ranks.

A page of a layer is one record: its keys and values, with their scales, filled up to a multiple of
4,096 bytes, so that it is read and written past the page cache (``direct.py``). The file has no
name: nobody else opens it, and it goes with the process, however that ends.
"""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import Final

from torch import Tensor

from banyan.core.errors import EngineFailed
from banyan.engine.stream.direct import DirectFile, aligned, bytes_of, rounded
from banyan.engine.stream.far import Planes

CHUNK_BYTES: Final = 1 << 20
"""Records on their way at a time, in each direction."""

_log = logging.getLogger(__name__)


class DiskPages:
    """``FarPages`` of ``layers`` in ``folder``. ``page_bytes`` are those of one layer.

    Raises ``EngineFailed`` where the disk has no room for all of them.
    """

    def __init__(self, folder: Path, *, layers: int, pages: int, page_bytes: int) -> None:
        self._record = rounded(page_bytes)
        self._pages = pages
        self.size_bytes = layers * pages * self._record
        self._file = _unnamed(folder, self.size_bytes)
        self._inward, self._outward = (aligned(buffer_bytes(page_bytes)) for _ in range(2))
        self._lost: set[tuple[int, int]] = set()

    def read(self, layer: int, run: slice, near: Planes) -> None:
        """See ``FarPages``."""
        if any((layer, page) in self._lost for page in range(run.start, run.stop)):
            raise EngineFailed(
                "Keys and values of this request could not be written to the disk.",
                remedy="Check the disk that streamed keys and values go to; then retry.",
            )
        for part in self._chunks(run):
            place = self._inward[: self._record * (part.stop - part.start)]
            try:
                count = self._file.read_into(bytes_of(place), self._offset(layer, part))
            except OSError as error:
                raise _unreadable(error.strerror) from None
            if count < len(place):
                raise _unreadable("the file ends before them")
            for source, target in zip(self._records(place, near), near, strict=True):
                target[part].copy_(source)

    def write(self, layer: int, run: slice, near: Planes) -> None:
        """See ``FarPages``."""
        for part in self._chunks(run):
            place = self._outward[: self._record * (part.stop - part.start)]
            for target, source in zip(self._records(place, near), near, strict=True):
                target.copy_(source[part])
            written = {(layer, page) for page in range(part.start, part.stop)}
            try:
                self._file.write_from(bytes_of(place), self._offset(layer, part))
                self._lost -= written
            except OSError as error:
                self._lost |= written
                _log.error("Keys and values could not be written: %s", error.strerror)

    def close(self) -> None:
        self._file.close()

    def _chunks(self, run: slice) -> list[slice]:
        step = len(self._inward) // self._record
        return [
            slice(begin, min(begin + step, run.stop)) for begin in range(run.start, run.stop, step)
        ]

    def _offset(self, layer: int, run: slice) -> int:
        return (layer * self._pages + run.start) * self._record

    def _records(self, place: Tensor, near: Planes) -> list[Tensor]:
        """The parts of the records in ``place`` that belong to each plane, as the plane has it."""
        records = place.view(-1, self._record)
        found, begin = [], 0
        for plane in near:
            end = begin + plane[0].nbytes
            part = records[:, begin:end].view(plane.dtype)
            found.append(part.unflatten(1, plane.shape[1:]))
            begin = end
        return found


def buffer_bytes(page_bytes: int) -> int:
    """What each of the two buffers takes, in which records are put together."""
    record = rounded(page_bytes)
    return max(1, CHUNK_BYTES // record) * record


def _unnamed(folder: Path, size: int) -> DirectFile:
    """A file of ``size`` bytes, all of which the disk has set aside."""
    path = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix="kv-", suffix=".part", dir=folder)
        path = Path(name)
        try:
            os.posix_fallocate(descriptor, 0, size)
        finally:
            os.close(descriptor)
        return DirectFile(path, write=True)
    except OSError as error:
        raise EngineFailed(
            f"{size} bytes for streamed keys and values could not be set aside in {folder}: "
            f"{error.strerror}.",
            remedy="Free space on that disk, lower kv_cache_bytes, or raise the memory budget.",
        ) from None
    finally:
        if path is not None:
            path.unlink(missing_ok=True)


def _unreadable(cause: str | None) -> EngineFailed:
    return EngineFailed(
        f"Keys and values could not be read from the disk: {cause}.",
        remedy="Check the disk; then retry.",
    )
