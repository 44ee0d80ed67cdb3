"""What a model on disk says of itself, read from its header alone.

A small bounded reader for the shelf: is it a model, of which kind, how long a context, and of an
architecture that the engine runs? Loading is the engine's work, and so is the last word on that.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from banyan.core.errors import CheckpointInvalid
from banyan.models.records import ModelKind

MAX_HEADER_BYTES = 256 << 20
MAX_KEY_BYTES = 65535
MAX_TEXT_BYTES = 4096
MAX_CONFIG_BYTES = 4 << 20
GGUF_RUN = frozenset({"llama", "qwen2", "qwen3", "qwen3moe", "gemma3"})
FOLDERS_RUN = frozenset(
    {"llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "gemma3", "gemma3_text", "bert"}
)
"""What the engine runs; a test compares these with the engine's own lists."""

ENCODERS = frozenset({"bert", "nomic-bert", "roberta", "xlm-roberta", "jina-bert-v2", "mpnet"})

_GGUF_MAGIC = b"GGUF"
_GGUF_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
# GGUF value types of a fixed width: u8 i8 u16 i16 u32 i32 f32 bool u64 i64 f64
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
_SCALARS[12] = "d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """``runs``: of an architecture the engine knows. ``context_length`` None where the file does
    not say; ``licence`` and ``title`` may be empty."""

    architecture: str
    runs: bool
    context_length: int | None
    kind: ModelKind
    title: str
    licence: str
    size_bytes: int


def read_header(path: Path) -> Header:
    """The header of a GGUF file or of a Hugging Face folder; ``CheckpointInvalid`` otherwise."""
    try:
        if path.is_dir():
            return _folder_header(path)
        return _gguf_header(path)
    except OSError as error:
        raise CheckpointInvalid(f"{path} cannot be read: {error.strerror}.") from None


def is_checkpoint_folder(path: Path) -> bool:
    """Whether a folder looks like a Hugging Face checkpoint."""
    return (path / "config.json").is_file() and any(path.glob("*.safetensors"))


def _gguf_header(path: Path) -> Header:
    with path.open("rb") as stream:
        values = _gguf_values(path, stream)
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise CheckpointInvalid(f"{path} names no architecture (general.architecture).")
    context = values.get(f"{architecture}.context_length")
    return Header(
        architecture=architecture,
        runs=architecture in GGUF_RUN,
        context_length=context if isinstance(context, int) else None,
        kind="embedding" if architecture in ENCODERS else "chat",
        title=str(values.get("general.name", "")),
        licence=str(values.get("general.license", "")),
        size_bytes=path.stat().st_size,
    )


def _gguf_values(path: Path, stream: BinaryIO) -> dict[str, object]:
    """The scalar metadata up to the tokenizer's, which follows the model's own by convention."""
    try:
        magic, version, _, count = struct.unpack("<4sIQQ", stream.read(24))
        if magic != _GGUF_MAGIC:
            raise CheckpointInvalid(f"{path} is not a GGUF file.")
        if version not in _GGUF_VERSIONS:
            raise CheckpointInvalid(f"{path} is GGUF version {version}; 2 and 3 are known.")
        values: dict[str, object] = {}
        for key, value in _pairs(path, stream, count):
            if key.startswith("tokenizer.") and "general.architecture" in values:
                break
            values[key] = value
        return values
    except struct.error:
        raise CheckpointInvalid(f"{path} ends inside its header.") from None


def _pairs(path: Path, stream: BinaryIO, count: int) -> Iterator[tuple[str, object]]:
    for _ in range(count):
        if stream.tell() > MAX_HEADER_BYTES:
            raise CheckpointInvalid(
                f"{path}: its metadata passes MAX_HEADER_BYTES = {MAX_HEADER_BYTES}."
            )
        key = _text(path, stream, MAX_KEY_BYTES)
        (kind,) = struct.unpack("<I", stream.read(4))
        yield key, _value(path, stream, kind)


def _value(path: Path, stream: BinaryIO, kind: int) -> object:
    if kind == _STRING:
        return _text(path, stream, None)
    if kind == _ARRAY:
        _skip_array(path, stream)
        return None
    if kind not in _SCALARS:
        raise CheckpointInvalid(f"{path}: metadata of unknown type {kind}.")
    code = "<" + _SCALARS[kind]
    return struct.unpack(code, stream.read(struct.calcsize(code)))[0]


def _skip_array(path: Path, stream: BinaryIO) -> None:
    kind, count = struct.unpack("<IQ", stream.read(12))
    if kind == _STRING:
        for _ in range(count):
            if stream.tell() > MAX_HEADER_BYTES:
                raise CheckpointInvalid(
                    f"{path}: its metadata passes MAX_HEADER_BYTES = {MAX_HEADER_BYTES}."
                )
            _skip_text(stream)
        return
    if kind not in _SCALARS:
        raise CheckpointInvalid(f"{path}: an array of unknown type {kind}.")
    _skip(stream, count * struct.calcsize("<" + _SCALARS[kind]))


def _skip_text(stream: BinaryIO) -> None:
    (length,) = struct.unpack("<Q", stream.read(8))
    _skip(stream, length)


def _skip(stream: BinaryIO, size: int) -> None:
    """Pass over ``size`` bytes, or past what a header may be, which the next read reports."""
    stream.seek(min(size, 2 * MAX_HEADER_BYTES), 1)


def _text(path: Path, stream: BinaryIO, limit: int | None) -> str:
    """A string; one without ``limit`` is kept up to MAX_TEXT_BYTES and the rest passed over."""
    (length,) = struct.unpack("<Q", stream.read(8))
    if length > (limit or MAX_HEADER_BYTES):
        raise CheckpointInvalid(f"{path}: a metadata string of {length} bytes.")
    kept = min(length, limit or MAX_TEXT_BYTES)
    data = stream.read(kept)
    if len(data) != kept:
        raise CheckpointInvalid(f"{path} ends inside its header.")
    stream.seek(length - kept, 1)
    return data.decode("utf-8", "replace")


def _folder_header(path: Path) -> Header:
    config_file = path / "config.json"
    if not config_file.is_file():
        raise CheckpointInvalid(
            f"{path} has no config.json.", remedy="Give a Hugging Face folder or a GGUF file."
        )
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        raise CheckpointInvalid(f"{path} has no *.safetensors.")
    config = _config(config_file)
    text = config.get("text_config")
    inner = text if isinstance(text, dict) else config
    architecture = str(config.get("model_type", ""))
    if not architecture:
        raise CheckpointInvalid(f"{config_file} names no model_type.")
    context = inner.get("max_position_embeddings")
    return Header(
        architecture=architecture,
        runs=architecture in FOLDERS_RUN,
        context_length=context if isinstance(context, int) else None,
        kind="embedding" if architecture in ENCODERS else "chat",
        title=str(config.get("_name_or_path", "")),
        licence="",
        size_bytes=sum(file.stat().st_size for file in weights),
    )


def _config(path: Path) -> dict[str, object]:
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise CheckpointInvalid(f"{path} is over MAX_CONFIG_BYTES = {MAX_CONFIG_BYTES}.")
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise CheckpointInvalid(f"{path} is not JSON.") from None
    if not isinstance(config, dict):
        raise CheckpointInvalid(f"{path} is not a JSON object.")
    return config
