"""Identity: a checkpoint by its contents, so that hosts can tell whether they have the same one."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from banyan.core.errors import CheckpointInvalid
from banyan.engine.checkpoint import find_gguf
from banyan.engine.formation import ModelIdentity

CHUNK_BYTES: Final = 1 << 20
_TURN: Final = threading.Lock()
"""One thread of a process reads a checkpoint; the others then know its digest."""
WEIGHTS: Final = ("*.safetensors", "config.json", "model.safetensors.index.json")


def identify(path: Path, name: str, cache: Path | None = None) -> ModelIdentity:
    """SHA-256 over the files that the weights and the architecture are in.

    ``cache`` is a folder that keeps the digests of files that have not changed since (by size and
    time), for a large checkpoint takes a while to read. Raises ``CheckpointInvalid``.
    """
    whole, total = hashlib.sha256(), 0
    with _TURN:
        known = _Known(None if cache is None else cache / "digests.json")
        for file in _files(path):
            whole.update(known.digest(file).encode())
            total += file.stat().st_size
        known.save()
    return ModelIdentity(name=name, digest=whole.hexdigest(), size_bytes=total)


def _files(path: Path) -> list[Path]:
    gguf = find_gguf(path)
    if gguf is not None:
        return [gguf]
    found: Iterable[Path] = (file for pattern in WEIGHTS for file in path.glob(pattern))
    files = sorted(set(found), key=lambda file: file.name)
    if not files:
        raise CheckpointInvalid(f"{path} holds no weights.")
    return files


class _Known:
    """Digests of files as they were when last read."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._entries: dict[str, list[object]] = {}
        if path is not None and path.is_file():
            try:
                self._entries = _sound(json.loads(path.read_text(encoding="utf-8")))
            except (ValueError, RecursionError):
                pass  # a damaged cache costs time, nothing else

    def digest(self, file: Path) -> str:
        status = file.stat()
        state = [status.st_size, status.st_mtime_ns]
        entry = self._entries.get(str(file.resolve()))
        if entry is not None and entry[:2] == state:
            return str(entry[2])
        digest = hashlib.sha256()
        with file.open("rb") as stream:
            while part := stream.read(CHUNK_BYTES):
                digest.update(part)
        self._entries[str(file.resolve())] = [*state, digest.hexdigest()]
        return digest.hexdigest()

    def save(self) -> None:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            written = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}")
            written.write_text(json.dumps(self._entries), encoding="utf-8")
            written.replace(self._path)  # whole, for others read it meanwhile


def _sound(read: object) -> dict[str, list[object]]:
    """The entries of a file as ``save`` writes it; what is none is left out."""
    entries = read.items() if isinstance(read, dict) else ()
    return {name: entry for name, entry in entries if isinstance(entry, list) and len(entry) == 3}
