"""Files on their way in: checked names, streamed to the inbox, never opened here."""

from __future__ import annotations

import shutil
import unicodedata
import uuid
from functools import partial
from pathlib import Path
from typing import BinaryIO

from starlette.requests import Request

from banyan.core.errors import InputError, LimitExceeded, StoreError
from banyan.server.body import chunks
from banyan.server.pool import Pool

MAX_NAME_CHARS = 512
MAX_PART_BYTES = 255
"""What file systems take for one part of a path."""

WRITE_BYTES = 1 << 20
"""Bytes gathered before a thread is asked to write them."""

_TURNS_TEXT_ROUND = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def display_name(given: str) -> str:
    """The relative path a file is listed under; raise ``InputError`` for a dangerous one.

    Backslashes count as slashes. It is only ever shown: on disk the file lies in a folder of its
    own under its last part.
    """
    if len(given) > MAX_NAME_CHARS:
        raise LimitExceeded(
            "The file name's length",
            limit="MAX_NAME_CHARS",
            value=len(given),
            allowed=MAX_NAME_CHARS,
        )
    name = given.replace("\\", "/")
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise InputError(
            "A file's name must be a relative path without empty or dotted parts.",
            remedy="For example: reports/2026.pdf.",
            field="name",
        )
    if any(
        unicodedata.category(char) in ("Cc", "Cs") or char in _TURNS_TEXT_ROUND for char in name
    ):
        raise InputError("A file's name must not hold control characters.", field="name")
    if any(len(part.encode()) > MAX_PART_BYTES for part in parts):
        raise InputError(f"A part of the name is over {MAX_PART_BYTES} bytes long.", field="name")
    return name


async def save(request: Request, inbox: Path, name: str, *, limit: int, pool: Pool) -> Path:
    """Stream the body to ``<inbox>/<new folder>/<last part of name>``; nothing stays on failure.

    Raises ``StoreError`` where it cannot be written, and what ``chunks`` raises.
    """
    folder = inbox / uuid.uuid4().hex
    path = folder / name.rpartition("/")[2]
    try:
        with await pool.call(partial(_create, path)) as file:
            await _copy(request, file, limit, pool)
    except OSError as error:
        discard(path)
        raise StoreError(
            f"The file cannot be saved in {inbox}: {error.strerror}.",
            remedy="Check that the folder can be written and that the disk is not full.",
        ) from error
    except BaseException:  # a cancelled task, too, leaves nothing behind
        discard(path)
        raise
    return path


def discard(path: Path) -> None:
    """Remove an upload's own folder."""
    shutil.rmtree(path.parent, ignore_errors=True)


async def _copy(request: Request, file: BinaryIO, limit: int, pool: Pool) -> None:
    gathered = bytearray()
    async for part in chunks(request, limit=limit, name="max_upload_bytes"):
        gathered += part
        if len(gathered) >= WRITE_BYTES:
            await pool.call(partial(file.write, bytes(gathered)))
            gathered.clear()
    await pool.call(partial(file.write, bytes(gathered)))
    await pool.call(file.flush)


def _create(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, mode=0o700)
    return path.open("xb")
