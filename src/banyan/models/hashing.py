"""sha256 of large files, with progress and a way out."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from pathlib import Path

from banyan.core.context import Context
from banyan.core.errors import CheckpointInvalid, HashMismatch
from banyan.core.events import Progress
from banyan.models.records import DataFile

BLOCK_BYTES = 4 << 20


def hash_files(
    folder: Path, paths: Sequence[str], context: Context, *, stage: str = "verify"
) -> Generator[Progress, None, tuple[DataFile, ...]]:
    """Read every file once; return them with their sizes and digests."""
    total = sum((folder / path).stat().st_size for path in paths)
    done = 0
    files: list[DataFile] = []
    for path in paths:
        digest, start = hashlib.sha256(), done
        with (folder / path).open("rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                context.check()
                digest.update(block)
                done += len(block)
                yield Progress(stage=stage, done=done, total=total, item=path)
        files.append(DataFile(path=path, size_bytes=done - start, sha256=digest.hexdigest()))
    return tuple(files)


def verify_files(
    folder: Path, files: Sequence[DataFile], context: Context
) -> Generator[Progress, None, None]:
    """Raise ``CheckpointInvalid`` for a missing or cut file, ``HashMismatch`` for another one."""
    for file in files:
        path = folder / file.path
        if not path.is_file():
            raise CheckpointInvalid(f"{path} is missing.")
        if path.stat().st_size != file.size_bytes:
            raise CheckpointInvalid(
                f"{path} has {path.stat().st_size} bytes, not {file.size_bytes}."
            )
    found = yield from hash_files(folder, [file.path for file in files], context)
    for file, wanted in zip(found, files, strict=True):
        if file.sha256 != wanted.sha256:
            raise HashMismatch(
                f"{folder / file.path} has sha256 {file.sha256}, not {wanted.sha256}."
            )
