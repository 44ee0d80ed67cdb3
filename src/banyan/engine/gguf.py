"""Read GGUF files (version 2 and 3, little-endian): metadata and where each tensor lies.

The file is mapped, never read whole; arrays of the metadata are decoded when asked for. Every
number in the file is treated as a claim: counts and offsets are checked against the file's size
before anything is allocated. Format: the GGUF specification of the ggml project.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from banyan.core.errors import CheckpointInvalid, UnsupportedModel
from banyan.engine import stored as formats
from banyan.engine.stored import Format, Stored, stored

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
MAX_DIMENSIONS: Final = 4
DEFAULT_ALIGNMENT: Final = 32
LEAST_TENSOR_BYTES: Final = 24  # an empty name, one dimension, a type and an offset
LEAST_ENTRY_BYTES: Final = 13  # an empty key, a type and one byte

Scalar = int | float | bool | str
Value = Scalar | list[Scalar]

TENSOR_TYPES: Final[Mapping[int, Format]] = {
    0: formats.F32,
    1: formats.F16,
    2: formats.Q4_0,
    3: formats.Q4_1,
    6: formats.Q5_0,
    7: formats.Q5_1,
    8: formats.Q8_0,
    12: formats.Q4_K,
    13: formats.Q5_K,
    14: formats.Q6_K,
    30: formats.BF16,
}

_SCALARS: Final[Mapping[int, struct.Struct]] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_STRING: Final = 8
_ARRAY: Final = 9
_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class _ArrayAt:
    """An array of the metadata that has been passed over: element type, count, first byte."""

    kind: int
    count: int
    position: int


class _Cursor:
    """Walks over the mapped bytes; running off the end is ``CheckpointInvalid``."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.position = 0

    def invalid(self, what: str) -> CheckpointInvalid:
        return CheckpointInvalid(
            f"{self.path.name} is not a sound GGUF file: {what}.",
            remedy="Fetch the file again; its sha256 shows whether it is whole.",
        )

    def take(self, layout: struct.Struct) -> Scalar:
        try:
            (value,) = layout.unpack_from(self.data, self.position)
        except struct.error:
            raise self.invalid(f"it ends at byte {len(self.data)} within a field") from None
        self.position += layout.size
        return value

    def count(self, layout: struct.Struct = _U64) -> int:
        return int(self.take(layout))

    def text(self, what: str) -> str:
        length = self.count()
        raw = self.data[self.position : self.position + length]
        if len(raw) != length:
            raise self.invalid(f"a {what} of {length} bytes does not fit")
        self.position += length
        return raw.decode("utf-8", errors="replace")

    def at_most(self, what: str, count: int, least_bytes: int) -> int:
        """``count``, once it is clear that so many items can fit into the rest of the file."""
        if count * least_bytes > len(self.data) - self.position:
            raise self.invalid(f"{count} {what} cannot fit into {len(self.data)} bytes")
        return count


class GgufFile(Mapping[str, Value]):
    """The metadata as a mapping, and ``tensors`` by name, still lying in the file.

    Raises ``CheckpointInvalid`` for a damaged or lying file and ``UnsupportedModel`` for a sound
    one that Banyan cannot read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        cursor = _Cursor(path, _map(path))
        tensor_count, entry_count = _header(cursor)
        self._entries = _metadata(cursor, entry_count)
        self._cursor = cursor
        self.tensors = _tensors(cursor, tensor_count, self._alignment())

    def __getitem__(self, key: str) -> Value:
        value = self._entries[key]
        return self._decoded(value) if isinstance(value, _ArrayAt) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def _alignment(self) -> int:
        alignment = self._entries.get("general.alignment", DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
            raise self._cursor.invalid(f"an alignment of {alignment!r}")
        return alignment

    def _decoded(self, array: _ArrayAt) -> list[Scalar]:
        if array.kind != _STRING:
            code = _SCALARS[array.kind].format[1:]
            raw = np.frombuffer(self._cursor.data, np.uint8)
            raw = raw[array.position : array.position + array.count * _SCALARS[array.kind].size]
            return list(raw.view(np.dtype(f"<{code}")).tolist())
        data, position, strings = self._cursor.data, array.position, list[Scalar]()
        for _ in range(array.count):
            (length,) = _U64.unpack_from(data, position)
            position += 8
            strings.append(data[position : position + length].decode("utf-8", errors="replace"))
            position += length
        return strings


def _map(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise CheckpointInvalid(f"{path} cannot be read: {error}.") from None


def _header(cursor: _Cursor) -> tuple[int, int]:
    if cursor.data[:4] != MAGIC:
        raise cursor.invalid("it does not begin with GGUF")
    cursor.position = 4
    version = cursor.count(_U32)
    if version not in VERSIONS:
        raise UnsupportedModel(
            f"{cursor.path.name} is GGUF version {version} or big-endian.",
            remedy="Convert it with a current llama.cpp; versions 2 and 3 are read.",
        )
    tensor_count = cursor.at_most("tensors", cursor.count(), LEAST_TENSOR_BYTES)
    return tensor_count, cursor.at_most("metadata entries", cursor.count(), LEAST_ENTRY_BYTES)


def _metadata(cursor: _Cursor, count: int) -> dict[str, Scalar | _ArrayAt]:
    entries: dict[str, Scalar | _ArrayAt] = {}
    for _ in range(count):
        key = cursor.text("key")
        if key in entries:
            raise cursor.invalid(f"metadata key {key!r} stands twice")
        kind = cursor.count(_U32)
        if kind == _STRING:
            entries[key] = cursor.text(key)
        elif kind == _ARRAY:
            entries[key] = _pass_array(cursor, key)
        elif kind in _SCALARS:
            entries[key] = cursor.take(_SCALARS[kind])
        else:
            raise cursor.invalid(f"metadata key {key!r} is of unknown type {kind}")
    return entries


def _pass_array(cursor: _Cursor, key: str) -> _ArrayAt:
    kind = cursor.count(_U32)
    if kind != _STRING and kind not in _SCALARS:
        raise cursor.invalid(f"metadata key {key!r} is an array of unreadable type {kind}")
    width = 8 if kind == _STRING else _SCALARS[kind].size
    count = cursor.at_most(f"items of {key}", cursor.count(), width)
    array = _ArrayAt(kind, count, cursor.position)
    if kind != _STRING:
        cursor.position += count * width
        return array
    data, position = cursor.data, cursor.position
    try:
        for _ in range(count):
            position += 8 + _U64.unpack_from(data, position)[0]
    except (struct.error, OverflowError):
        raise cursor.invalid(f"the strings of {key} run past its end") from None
    if position > len(data):
        raise cursor.invalid(f"the strings of {key} run past its end")
    cursor.position = position
    return array


def _tensors(cursor: _Cursor, count: int, alignment: int) -> dict[str, Stored]:
    described = [_describe(cursor) for _ in range(count)]
    origin = -(-cursor.position // alignment) * alignment
    raw = np.frombuffer(cursor.data, np.uint8)
    tensors: dict[str, Stored] = {}
    for name, shape, fmt, offset in described:
        if name in tensors:
            raise cursor.invalid(f"tensor {name} stands twice")
        start = origin + offset
        size = -(-math.prod(shape) // fmt.block) * fmt.block_bytes
        if offset % alignment or start + size > len(cursor.data):
            raise cursor.invalid(f"tensor {name} lies outside the file or off its alignment")
        tensors[name] = stored(name, fmt, shape, raw[start : start + size])
    return tensors


def _describe(cursor: _Cursor) -> tuple[str, tuple[int, ...], Format, int]:
    name = cursor.text("tensor name")
    dimensions = cursor.count(_U32)
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise cursor.invalid(f"tensor {name} has {dimensions} dimensions")
    shape = tuple(cursor.count() for _ in range(dimensions))[::-1]
    if not all(shape):
        raise cursor.invalid(f"tensor {name} has the shape {shape}")
    kind = cursor.count(_U32)
    if kind not in TENSOR_TYPES:
        known = ", ".join(fmt.name for fmt in TENSOR_TYPES.values())
        raise UnsupportedModel(
            f"Tensor {name} of {cursor.path.name} is of GGML type {kind}, which is not read.",
            remedy=f"Use a file quantised to one of {known}.",
        )
    return name, shape, TENSOR_TYPES[kind], cursor.count()
