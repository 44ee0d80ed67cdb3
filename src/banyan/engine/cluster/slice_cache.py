"""SliceCache: the slices a host keeps, under a cap; the least recently used go first.

A slice is written beside its place (``.part``) and gets its name when it is whole, so that half a
slice is never found. Who uses one holds a shared lock on the file (``flock``), who writes one an
exclusive one: locks end with their process, so that several workers may share a folder, what is in
use never goes, and what a killed one left half written is known as such and removed.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from banyan.core.errors import ClusterError
from banyan.engine.slice_file import SUFFIX

PART: Final = ".part"
GATE: Final = "slices.lock"
"""Whoever makes room, or gives a slice its name, holds a lock on this file."""


class Slice:
    """A slice in use: it stays until ``close``."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """``file`` is the slice, locked."""
        self.path = path
        self._file = file

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True, slots=True)
class _Idle:
    """A file that nobody uses; its lock is held."""

    path: Path
    size_bytes: int
    file: BinaryIO


class SliceCache:
    """Slices in ``folder``, at most ``cap_bytes`` together."""

    def __init__(self, folder: Path, cap_bytes: int) -> None:
        self.folder = folder
        self.cap_bytes = cap_bytes

    def find(self, name: str) -> Slice | None:
        """The slice of that name, if it is here; from now on it counts as used."""
        path = self.folder / name
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        fcntl.flock(file, fcntl.LOCK_SH)
        if not _is_at(path, file):  # it went just now
            file.close()
            return None
        os.utime(path)
        return Slice(path, file)

    @contextmanager
    def room(self, size_bytes: int) -> Iterator[BinaryIO]:
        """A file to write so many bytes to, whose space is reserved; ``keep`` gives it its name,
        otherwise it goes. Raises ``ClusterError`` where there is no room for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._gate():
            self._make_room(size_bytes)
            part = self.folder / (secrets.token_hex(8) + PART)
            file = part.open("w+b")
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                if size_bytes:
                    os.posix_fallocate(file.fileno(), 0, size_bytes)
            except OSError as error:
                part.unlink()
                file.close()
                raise self._no_room(size_bytes, f"the disk refuses it: {error.strerror}") from None
        try:
            yield file
        finally:
            with self._gate():
                part.unlink(missing_ok=True)
            file.close()

    def keep(self, file: BinaryIO, name: str) -> Slice:
        """Give what was written its name, unless another worker was faster; it is in use."""
        with self._gate():
            found = self.find(name)
            if found is None:
                fcntl.flock(file, fcntl.LOCK_SH)
                Path(file.name).replace(self.folder / name)
                found = self.find(name)
        if found is None:
            raise ClusterError(f"{self.folder / name} was removed just now.", remedy="Join again.")
        return found

    def _make_room(self, size_bytes: int) -> None:
        """Remove what is unused, the oldest first, until so many bytes fit."""
        everything = [path for path in self.folder.iterdir() if path.suffix in (SUFFIX, PART)]
        used = sum(path.stat().st_size for path in everything)
        idle = _idle(everything)
        try:
            free = shutil.disk_usage(self.folder).free
            spare = sum(one.size_bytes for one in idle)
            if used - spare + size_bytes > self.cap_bytes:
                why = f"slice_cache_bytes is {_mb(self.cap_bytes)}"
                raise self._no_room(size_bytes, f"{why}, of which {_mb(used - spare)} are in use")
            if size_bytes > free + spare:
                raise self._no_room(size_bytes, f"{_mb(free + spare)} of the disk can be had")
            for one in idle:
                fits = used + size_bytes <= self.cap_bytes and size_bytes <= free
                if fits and one.path.suffix != PART:
                    break
                one.path.unlink()
                used, free = used - one.size_bytes, free + one.size_bytes
        finally:
            for one in idle:
                one.file.close()

    def _no_room(self, size_bytes: int, why: str) -> ClusterError:
        return ClusterError(
            f"A slice of {_mb(size_bytes)} does not fit into {self.folder}: {why}.",
            remedy="Raise BANYAN_SLICE_CACHE_BYTES or free some disk; or offer fewer --ranks here.",
        )

    @contextmanager
    def _gate(self) -> Iterator[None]:
        with (self.folder / GATE).open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _idle(paths: Sequence[Path]) -> list[_Idle]:
    """Those nobody uses: half-written ones that were left, then the least recently used."""
    found = []
    for path in paths:
        file = path.open("rb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        found.append(_Idle(path, path.stat().st_size, file))
    return sorted(found, key=lambda one: (one.path.suffix != PART, one.path.stat().st_mtime_ns))


def _is_at(path: Path, file: BinaryIO) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(file.fileno()))


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"
