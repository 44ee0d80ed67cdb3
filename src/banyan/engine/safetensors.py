"""Read safetensors files: a JSON header, then raw tensors, mapped and never read whole.

Sharded checkpoints are read through their index. Every offset of the header is checked against
the file. Format: the safetensors specification by Hugging Face.
"""

from __future__ import annotations

import json
import math
import mmap
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from banyan.core.errors import CheckpointInvalid, UnsupportedModel
from banyan.engine import stored as formats
from banyan.engine.metadata import Metadata, read_json
from banyan.engine.stored import Format, Stored, stored

SINGLE: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
MAX_HEADER_BYTES: Final = 100 << 20  # the specification's own limit

_TYPES: Final[Mapping[str, Format]] = {
    "F32": formats.F32,
    "F16": formats.F16,
    "BF16": formats.BF16,
}
_NOT_WEIGHTS: Final = frozenset({"I64", "I32", "I16", "I8", "U8", "BOOL"})


def read_folder(folder: Path) -> dict[str, Stored]:
    """Every tensor of the folder's one file or of all its shards, by name."""
    if not (folder / INDEX).is_file():
        return read_file(folder / SINGLE)
    places = read_json(folder / INDEX).part("weight_map")
    shards: dict[str, dict[str, Stored]] = {}
    tensors: dict[str, Stored] = {}
    for name in places.names():
        shard = places.text(name)
        if shard != Path(shard).name:
            raise CheckpointInvalid(f"{INDEX}: {name} lies outside the folder, in {shard!r}.")
        if shard not in shards:
            shards[shard] = read_file(folder / shard)
        if name in shards[shard]:
            tensors[name] = shards[shard][name]
        elif name not in _skipped(folder / shard):
            raise CheckpointInvalid(f"{shard} does not hold {name}, which {INDEX} puts there.")
    return tensors


def read_file(path: Path) -> dict[str, Stored]:
    """Every floating-point tensor of one file. Integer tensors are buffers, not weights.

    Raises ``CheckpointInvalid`` for a damaged file, ``UnsupportedModel`` for other number types.
    """
    data = _map(path)
    header = _header(path, data)
    raw = np.frombuffer(data, np.uint8)
    origin = 8 + _header_bytes(path, data)
    tensors: dict[str, Stored] = {}
    for name in header.names():
        if name == "__metadata__":
            continue
        entry = header.part(name)
        kind = entry.text("dtype")
        if kind in _NOT_WEIGHTS:
            continue
        if kind not in _TYPES:
            raise UnsupportedModel(
                f"Tensor {name} of {path.name} is of type {kind}.",
                remedy=f"Use a checkpoint in {', '.join(_TYPES)}, or a GGUF file.",
            )
        shape = entry.integers("shape")
        start, stop = _span(entry, name, len(data) - origin)
        if min(shape, default=1) < 0 or stop - start != math.prod(shape) * _TYPES[kind].block_bytes:
            raise CheckpointInvalid(f"Tensor {name} of {path.name} does not fill its place.")
        tensors[name] = stored(name, _TYPES[kind], shape, raw[origin + start : origin + stop])
    return tensors


def _skipped(path: Path) -> set[str]:
    """Names of the file's tensors that are not weights."""
    header = _header(path, _map(path))
    names = (name for name in header.names() if name != "__metadata__")
    return {name for name in names if header.part(name).text("dtype") in _NOT_WEIGHTS}


def _map(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise CheckpointInvalid(f"{path} cannot be read: {error}.") from None


def _header_bytes(path: Path, data: mmap.mmap) -> int:
    if len(data) < 8:
        raise CheckpointInvalid(f"{path.name} is too short to be a safetensors file.")
    (size,) = struct.unpack_from("<Q", data, 0)
    if size > min(MAX_HEADER_BYTES, len(data) - 8):
        raise CheckpointInvalid(f"{path.name}: a header of {size} bytes does not fit.")
    return int(size)


def _header(path: Path, data: mmap.mmap) -> Metadata:
    try:
        values = json.loads(data[8 : 8 + _header_bytes(path, data)])
    except (ValueError, RecursionError) as error:
        raise CheckpointInvalid(f"{path.name}: the header is not JSON: {error}.") from None
    if not isinstance(values, dict):
        raise CheckpointInvalid(f"{path.name}: the header is not a JSON object.")
    return Metadata(values, path.name)


def _span(entry: Metadata, name: str, available: int) -> tuple[int, int]:
    offsets = entry.integers("data_offsets")
    if len(offsets) != 2 or not 0 <= offsets[0] <= offsets[1] <= available:
        raise CheckpointInvalid(f"{entry.source}: {name} lies outside the file.")
    return offsets[0], offsets[1]
