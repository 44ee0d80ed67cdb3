"""DiskPages: keys and values in a file of their own, for a processor's ranks.

It is read and written past the page cache (``direct.py``), in multiples of 4,096 bytes. Planes
whose pages are such multiples lie in the file as in memory, and are moved without a copy. Others,
where heads are few, are filled up to one record for each page, put together in a buffer. Scales are
too little for that: they stay in memory.
The file has no name: nobody else opens it, and it goes with the process, however that ends.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from banyan.core.errors import EngineFailed
from banyan.engine.stream.direct import ALIGNMENT, DirectFile, aligned, bytes_of, rounded
from banyan.engine.stream.far import Planes

CHUNK_BYTES: Final = 1 << 20
"""Records on their way at a time, in each direction."""

_log = logging.getLogger(__name__)


class DiskPages:
    """``FarPages`` of ``layers`` in ``folder``. ``plane_bytes`` are those of a page in each plane
    of a layer, which begin at multiples of 4,096 bytes in memory, too; planes ``stay`` in memory.

    Raises ``EngineFailed`` where the disk has no room for all of them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        layers: int,
        pages: int,
        plane_bytes: Sequence[int],
        stay: Collection[int] = (),
    ) -> None:
        self._pages = pages
        self._plane_bytes = tuple(plane_bytes)
        moved = [n for n in range(len(plane_bytes)) if n not in stay]
        self._whole = [n for n in moved if plane_bytes[n] % ALIGNMENT == 0]
        self._rest = [n for n in moved if plane_bytes[n] % ALIGNMENT]
        self._stay = {n: _memory(layers, pages, plane_bytes[n]) for n in stay}
        rest = sum(self._plane_bytes[n] for n in self._rest)
        self._record = rounded(rest) if rest else 0
        self._page = sum(self._plane_bytes[n] for n in self._whole) + self._record
        self.size_bytes = layers * pages * self._page
        self._file = _unnamed(folder, self.size_bytes)
        size = buffer_bytes(sum(plane_bytes))
        self._inward, self._outward = (aligned(size) for _ in range(2))
        self.near_bytes = 2 * size + sum(plane.nbytes for plane in self._stay.values())
        self._lost: set[tuple[int, int]] = set()

    def read(self, layer: int, run: slice, near: Planes) -> None:
        """See ``FarPages``."""
        if any((layer, page) in self._lost for page in range(run.start, run.stop)):
            raise EngineFailed(
                "Keys and values of this request could not be written to the disk.",
                remedy="Check the disk that streamed keys and values go to; then retry.",
            )
        for offset, plane in self._runs(layer, run, near):
            self._fill(plane, offset)
        for part in self._chunks(run):
            place = self._inward[: self._record * (part.stop - part.start)]
            self._fill(place, self._offset(layer, part))
            for n, source in zip(self._rest, self._records(place, near), strict=True):
                near[n][part].copy_(source)
        for n, plane in self._stay.items():
            _bytes(near[n][run]).copy_(plane[layer, run])

    def write(self, layer: int, run: slice, near: Planes) -> None:
        """See ``FarPages``."""
        for n, plane in self._stay.items():
            plane[layer, run].copy_(_bytes(near[n][run]))
        written = {(layer, page) for page in range(run.start, run.stop)}
        try:
            for offset, plane in self._runs(layer, run, near):
                self._file.write_from(bytes_of(plane), offset)
            for part in self._chunks(run):
                place = self._outward[: self._record * (part.stop - part.start)]
                for n, target in zip(self._rest, self._records(place, near), strict=True):
                    target.copy_(near[n][part])
                self._file.write_from(bytes_of(place), self._offset(layer, part))
            self._lost -= written
        except OSError as error:
            self._lost |= written
            _log.error("Keys and values could not be written: %s", error.strerror)

    def close(self) -> None:
        self._file.close()

    def _fill(self, place: Tensor, offset: int) -> None:
        try:
            count = self._file.read_into(bytes_of(place), offset)
        except OSError as error:
            raise _unreadable(error.strerror) from None
        if count < len(place):
            raise _unreadable("the file ends before them")

    def _runs(self, layer: int, run: slice, near: Planes) -> Iterator[tuple[int, Tensor]]:
        """Of each whole plane the bytes of the run, and where they lie in the file."""
        begin = layer * self._pages * self._page
        for n in self._whole:
            size = self._plane_bytes[n]
            yield begin + run.start * size, _bytes(near[n][run]).flatten()
            begin += self._pages * size

    def _chunks(self, run: slice) -> list[slice]:
        """As many pages at a time as there is room for their records."""
        if not self._record:
            return []
        step = len(self._inward) // self._record
        return [
            slice(begin, min(begin + step, run.stop)) for begin in range(run.start, run.stop, step)
        ]

    def _offset(self, layer: int, run: slice) -> int:
        """Of records, which lie behind the whole planes of their layer."""
        whole = self._page - self._record
        return self._pages * (layer * self._page + whole) + run.start * self._record

    def _records(self, place: Tensor, near: Planes) -> list[Tensor]:
        """The parts of the records in ``place`` that belong to each plane, as the plane has it."""
        records = place.view(-1, self._record)
        found, begin = [], 0
        for n in self._rest:
            end = begin + self._plane_bytes[n]
            part = records[:, begin:end].view(near[n].dtype)
            found.append(part.unflatten(1, near[n].shape[1:]))
            begin = end
        return found


def _memory(layers: int, pages: int, size: int) -> Tensor:
    """uint8 [layers, pages, size]"""
    count = layers * pages * size
    return aligned(count)[:count].view(layers, pages, size)


def _bytes(pages: Tensor) -> Tensor:
    """Pages of a plane as uint8 [pages, bytes of one], a view."""
    return pages.flatten(1).view(torch.uint8)


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
