"""Staging file: the layers of a model, or of one rank's share of it, as the bytes that are computed
with, so that a layer is one direct read.

    layers      each at a multiple of 4,096 bytes, filled up to one
    manifest    JSON: of each layer its place, digests and description (``form.py``)
    tail        64 bytes: magic, place and length of the manifest, its SHA-256

It is written to a part file, read back, and given its name when it is whole. Its time of last
change is set to the one in the manifest: a file that was touched since is not used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from torch import Tensor

from banyan.core.errors import EngineFailed, StagingInvalid
from banyan.engine.stream.direct import ALIGNMENT, DirectFile, aligned, bytes_of, rounded
from banyan.engine.stream.form import Form, put_together, take_apart
from banyan.engine.weights import LayerWeights

FORMAT: Final = "banyan staging 1"
SUFFIX: Final = ".staging"
PART: Final = ".part"
MAGIC: Final = b"banyan staging 1"
TAIL: Final = struct.Struct(">16sQQ32s")
MAX_MANIFEST_BYTES: Final = 64 << 20
PROBE_BYTES: Final = 4096
"""Of every so many bytes, eight are looked at whenever a layer is read: a torn read shows there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedLayer:
    """``size_bytes`` are aligned. ``digest`` is SHA-256 over all of them, ``probe`` over some."""

    offset: int
    size_bytes: int
    digest: str
    probe: str
    description: Any


class Staging:
    """An open staging file; reads may come from any thread. Raises ``StagingInvalid``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = DirectFile(path)
        except OSError as error:
            raise _invalid(path, f"it cannot be opened ({error.strerror})") from None
        try:
            self.layers, self._written_s, self._size = _manifest(path)
            self._check_unchanged()
        except BaseException:
            self._file.close()
            raise

    @property
    def is_direct(self) -> bool:
        """Whether reads go past the page cache."""
        return self._file.is_direct

    def read(self, layer: int, buffer: Tensor) -> LayerWeights:
        """The layer, as views of ``buffer`` (aligned, uint8, as long as the layer or longer)."""
        entry = self.layers[layer]
        place = bytes_of(buffer)[: entry.size_bytes]
        try:
            count = self._file.read_into(place, entry.offset)
        except OSError as error:
            raise EngineFailed(
                f"Layer {layer} could not be read from {self.path}: {error.strerror}.",
                remedy="Check the disk; then retry.",
            ) from None
        self._check_unchanged()
        if count < entry.size_bytes or probe(place) != entry.probe:
            raise _invalid(self.path, f"layer {layer} is not what was written")
        return put_together(entry.description, buffer)

    def close(self) -> None:
        self._file.close()

    def _check_unchanged(self) -> None:
        status = self._file.status
        if status.st_size != self._size or status.st_mtime_ns != self._written_s * 1_000_000_000:
            raise _invalid(self.path, "it was changed after it was written")


def write_staging(path: Path, layers: Iterable[LayerWeights]) -> None:
    """Write the file of these layers, one in memory at a time. Raises ``EngineFailed`` where the
    disk is full or does not give back what was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    part = path.with_suffix(f".{os.getpid()}-{time.monotonic_ns()}{PART}")
    try:
        _write(part, layers)
        part.replace(path)
    except OSError as error:
        raise EngineFailed(
            f"The staging file {path} could not be written: {error.strerror}.",
            remedy="Free space on that disk, or raise the memory budget so that nothing streams.",
        ) from None
    finally:
        part.unlink(missing_ok=True)


def check_space(path: Path, size_bytes: int) -> None:
    """Raises ``EngineFailed`` with the arithmetic where the disk has no room for a file of so many
    bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    if free >= size_bytes:
        return
    others = sum(each.stat().st_size for each in path.parent.glob(f"*{SUFFIX}"))
    raise EngineFailed(
        f"The layers to be streamed take {size_bytes >> 20} MiB in {path.parent}; its disk has"
        f" {free >> 20} MiB free.",
        remedy=f"Free space there (staging files of other models or settings: {others >> 20} MiB).",
    )


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed have left half-written."""
    for part in folder.glob(f"*{PART}"):
        process = part.suffixes[-2].lstrip(".").partition("-")[0]
        if not Path("/proc", process).exists():
            part.unlink(missing_ok=True)


def probe(data: memoryview) -> str:
    """A digest over a sample: eight bytes of every ``PROBE_BYTES``."""
    words = np.frombuffer(data, dtype=np.uint64)[:: PROBE_BYTES // 8]
    return hashlib.sha256(words.tobytes()).hexdigest()


def _write(part: Path, layers: Iterable[LayerWeights]) -> None:
    file = DirectFile(part, write=True)
    entries: list[StagedLayer] = []
    offset = 0
    try:
        buffer = aligned(ALIGNMENT)
        for weights in layers:
            form = take_apart(weights)
            if rounded(form.size_bytes) > len(buffer):
                buffer = aligned(form.size_bytes)
            entries.append(_write_layer(file, form, buffer[: rounded(form.size_bytes)], offset))
            offset += entries[-1].size_bytes
        file.sync()
    finally:
        file.close()
    written_s = int(time.time())
    manifest = json.dumps(
        {"format": FORMAT, "written_s": written_s, "layers": [asdict(entry) for entry in entries]}
    ).encode()
    with part.open("ab") as end:
        end.write(manifest)
        end.write(TAIL.pack(MAGIC, offset, len(manifest), hashlib.sha256(manifest).digest()))
        end.flush()
        os.fsync(end.fileno())
    os.utime(part, (written_s, written_s))


def _write_layer(file: DirectFile, form: Form, buffer: Tensor, offset: int) -> StagedLayer:
    form.copy_into(buffer)
    place = bytes_of(buffer)
    entry = StagedLayer(
        offset=offset,
        size_bytes=len(place),
        digest=hashlib.sha256(place).hexdigest(),
        probe=probe(place),
        description=form.description,
    )
    file.write_from(place, offset)
    buffer.zero_()
    file.read_into(place, offset)
    if hashlib.sha256(place).hexdigest() != entry.digest:
        raise EngineFailed(
            "The disk does not give back what was written to it.", remedy="Check the disk."
        )
    return entry


def _manifest(path: Path) -> tuple[tuple[StagedLayer, ...], int, int]:
    """The layers, when they were written, and how long the file must be."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL.size))
            magic, offset, length, digest = TAIL.unpack(file.read(TAIL.size))
            if magic != MAGIC or offset + length + TAIL.size != size or length > MAX_MANIFEST_BYTES:
                raise _invalid(path, "it is not whole")
            file.seek(offset)
            raw = file.read(length)
            if hashlib.sha256(raw).digest() != digest:
                raise _invalid(path, "its manifest is damaged")
        manifest = json.loads(raw)
        layers = tuple(StagedLayer(**entry) for entry in manifest["layers"])
        return layers, int(manifest["written_s"]), size
    except (OSError, struct.error, ValueError, KeyError, TypeError) as error:
        raise _invalid(path, f"its manifest cannot be read ({error})") from None


def _invalid(path: Path, what: str) -> StagingInvalid:
    return StagingInvalid(
        f"The staging file {path} cannot be used: {what}.",
        remedy="It is written anew when the model is loaded again.",
    )
