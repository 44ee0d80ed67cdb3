"""Slice file: one rank's share of a checkpoint, as a file of its own.

    8 bytes    length of the header (big-endian)
    header     JSON: format, share, architecture, of each tensor its format, shape and place, and
               for rank 0 the lexicon
    tensors    their raw bytes, as they lie in the checkpoint

What was quantised stays so. The file is read by mapping it into memory.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from banyan.core.errors import CheckpointInvalid
from banyan.core.layout import Share, from_json, to_json
from banyan.engine import stored as formats
from banyan.engine.checkpoint import Checkpoint
from banyan.engine.config import ModelConfig
from banyan.engine.lexicon import Lexicon
from banyan.engine.stored import Format, Stored

if TYPE_CHECKING:
    from banyan.engine.stored import Bytes

SUFFIX: Final = ".slice"
FORMAT: Final = "banyan slice 1"
MAX_HEADER_BYTES: Final = 64 << 20
FORMATS: Final = {
    entry.name: entry for entry in vars(formats).values() if isinstance(entry, Format)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A tensor in the file; ``offset`` counts from the end of the header."""

    format: str
    shape: tuple[int, ...]
    lead: int
    rows: int
    row_bytes: int
    offset: int


def slice_bytes(
    checkpoint: Checkpoint, share: Share, lexicon: Lexicon | None = None
) -> tuple[int, Iterator[memoryview]]:
    """The length of the file of a checkpoint that was cut to ``share``, and its pieces."""
    entries, offset = {}, 0
    for name, tensor in checkpoint.tensors.items():
        rows, row_bytes = tensor.data.shape
        entry = _Entry(
            format=tensor.format.name,
            shape=tensor.shape,
            lead=tensor.lead,
            rows=rows,
            row_bytes=row_bytes,
            offset=offset,
        )
        entries[name] = to_json(entry)
        offset += rows * row_bytes
    header = json.dumps(
        {
            "format": FORMAT,
            "share": to_json(share),
            "config": to_json(checkpoint.config),
            "norm_offset": checkpoint.norm_offset,
            "interleaved": checkpoint.interleaved,
            "has_start": checkpoint.has_start,
            "has_end": checkpoint.has_end,
            "lexicon": None if lexicon is None else to_json(lexicon),
            "tensors": entries,
        }
    ).encode()
    head = struct.pack(">Q", len(header)) + header

    def pieces() -> Iterator[memoryview]:
        yield memoryview(head)
        for tensor in checkpoint.tensors.values():
            if tensor.data.size:
                yield np.ascontiguousarray(tensor.data).reshape(-1).data

    return len(head) + offset, pieces()


def open_slice(path: Path, share: Share) -> Checkpoint:
    """The checkpoint in a slice file. Raises ``CheckpointInvalid``, also when it is of another
    share than the one that is wanted."""
    try:
        header, body = _parts(path)
        if from_json(Share, header["share"]) != share:
            raise ValueError("it is for another rank")
        tensors = {name: _tensor(name, entry, body) for name, entry in header["tensors"].items()}
        return Checkpoint(
            source=path.name,
            config=from_json(ModelConfig, header["config"]),
            tensors=tensors,
            norm_offset=float(header["norm_offset"]),
            interleaved=bool(header["interleaved"]),
            has_start=bool(header["has_start"]),
            has_end=bool(header["has_end"]),
        )
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise _invalid(path, error) from None


def open_lexicon(path: Path) -> Lexicon:
    """The lexicon in the slice file of a rank 0. Raises ``CheckpointInvalid``."""
    try:
        return from_json(Lexicon, _parts(path)[0]["lexicon"])
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise _invalid(path, error) from None


def _parts(path: Path) -> tuple[dict[str, Any], Bytes]:
    """The header, and the bytes of the tensors."""
    raw = np.memmap(path, dtype=np.uint8, mode="r")
    (length,) = struct.unpack(">Q", raw[:8].tobytes())
    if length > min(MAX_HEADER_BYTES, len(raw) - 8):
        raise ValueError(f"its header would be {length} bytes long")
    header = json.loads(raw[8 : 8 + length].tobytes())
    if header.get("format") != FORMAT:
        raise ValueError("it is a slice of another format")
    return header, raw[8 + length :]


def _invalid(path: Path, error: Exception) -> CheckpointInvalid:
    return CheckpointInvalid(
        f"{path.name} is not a whole slice: {error}.", remedy="Remove it; it will be sent again."
    )


def _tensor(name: str, value: Any, body: Bytes) -> Stored:
    entry = from_json(_Entry, value)
    size = entry.rows * entry.row_bytes
    if entry.offset < 0 or size < 0 or entry.offset + size > len(body):
        raise ValueError(f"tensor {name} lies beyond its end")
    data = body[entry.offset : entry.offset + size].reshape(entry.rows, entry.row_bytes)
    fmt = FORMATS[entry.format]
    return Stored(name=name, format=fmt, shape=entry.shape, data=data, lead=entry.lead)
