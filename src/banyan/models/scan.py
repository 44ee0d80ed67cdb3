"""Finding models that already lie on a disk: GGUF files and Hugging Face folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from banyan.core.context import Context
from banyan.core.errors import CheckpointInvalid, LimitExceeded, NotFound
from banyan.models.header import Header, is_checkpoint_folder, read_header

MAX_SCAN_DEPTH = 12
MAX_SCAN_ENTRIES = 500_000
_LATER_SHARD = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.gguf$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A model on disk; ``header`` None means unreadable, for ``reason``."""

    path: Path
    header: Header | None
    reason: str = ""


def scan(root: Path, context: Context) -> Iterator[Found]:
    """Walk ``root`` and yield what looks like a model, readable or not, in the order of names.

    Links to folders are followed once each, so that loops end. Folders below MAX_SCAN_DEPTH are
    not entered; more than MAX_SCAN_ENTRIES names raise ``LimitExceeded``.
    """
    if not root.is_dir():
        raise NotFound(f"{root} is not a folder.")
    seen: set[tuple[int, int]] = set()
    entries = 0
    for here, folders, files in os.walk(root, followlinks=True):
        context.check()
        folder = Path(here)
        status = folder.stat()
        depth = len(folder.relative_to(root).parts)
        if (status.st_dev, status.st_ino) in seen or depth > MAX_SCAN_DEPTH:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        entries += len(folders) + len(files)
        if entries > MAX_SCAN_ENTRIES:
            raise LimitExceeded(
                f"Names under {root}",
                limit="MAX_SCAN_ENTRIES",
                value=entries,
                allowed=MAX_SCAN_ENTRIES,
            )
        folders.sort()
        yield from _here(folder, sorted(files))


def _here(folder: Path, files: list[str]) -> Iterator[Found]:
    if is_checkpoint_folder(folder):
        yield _found(folder)
    for name in files:
        if name.lower().endswith(".gguf") and not _LATER_SHARD.search(name.lower()):
            yield _found(folder / name)


def _found(path: Path) -> Found:
    try:
        return Found(path=path, header=read_header(path))
    except CheckpointInvalid as error:
        return Found(path=path, header=None, reason=str(error))
