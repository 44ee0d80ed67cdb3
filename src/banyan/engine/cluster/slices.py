"""Slices: a host without the checkpoint gets its ranks' shares from the head, once.

On a socket of its own: the length, the bytes of the slice file (``slice_file.py``), their SHA-256.
The receiver writes beside the target, checks, and only then gives the file its name, so that a
slice is either whole or not there. Its name is made of what is in it: the checkpoint's digest and
the share; the next start finds it.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from banyan.core.errors import ClusterError, HashMismatch
from banyan.core.layout import Share, to_json
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.cut import cut
from banyan.engine.formation import ModelIdentity
from banyan.engine.slice_file import FORMAT, SUFFIX, slice_bytes

CHUNK_BYTES: Final = 1 << 20
SILENCE_S: Final = 30.0
"""How long either end waits for the other to take or give a piece."""
MAX_SLICE_BYTES: Final = 1 << 40


def slice_path(folder: Path, model: ModelIdentity, share: Share) -> Path:
    """Where the slice of that share of that checkpoint is kept."""
    content = json.dumps([FORMAT, model.digest, to_json(share)], sort_keys=True)
    return folder / (hashlib.sha256(content.encode()).hexdigest()[:32] + SUFFIX)


def send_slice(connection: socket.socket, checkpoint: Path, share: Share) -> None:
    """Give the share of the checkpoint to whoever is at the other end of a proven connection.

    Raises ``OSError`` when it has gone.
    """
    connection.settimeout(SILENCE_S)
    length, pieces = slice_bytes(cut(open_checkpoint(checkpoint), share), share)
    digest = hashlib.sha256()
    connection.sendall(struct.pack(">Q", length))
    for piece in pieces:
        digest.update(piece)
        connection.sendall(piece)
    connection.sendall(digest.digest())


def receive_slice(
    connection: socket.socket, target: Path, progress: Callable[[int, int], None]
) -> None:
    """Take a slice and keep it as ``target``; ``progress`` is told bytes so far, and in all.

    Raises ``HashMismatch`` and ``ClusterError``; then nothing is left behind.
    """
    connection.settimeout(SILENCE_S)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        (length,) = struct.unpack(">Q", _exactly(connection, 8))
        if length > MAX_SLICE_BYTES:
            raise ClusterError(f"A slice of {length} bytes; MAX_SLICE_BYTES = {MAX_SLICE_BYTES}.")
        with part.open("wb") as file:
            digest = _copied(connection, file.write, length, progress)
            file.flush()
            os.fsync(file.fileno())
        if _exactly(connection, 32) != digest:
            raise HashMismatch("A slice arrived damaged.", remedy="Join again: it is sent anew.")
        part.replace(target)
    except OSError as error:
        raise ClusterError(
            f"A slice could not be received: {error}.",
            remedy=f"Check the connection and the space under {target.parent}.",
        ) from None
    finally:
        part.unlink(missing_ok=True)


def _copied(
    connection: socket.socket,
    write: Callable[[bytes], object],
    length: int,
    progress: Callable[[int, int], None],
) -> bytes:
    digest, done = hashlib.sha256(), 0
    while done < length:
        data = connection.recv(min(CHUNK_BYTES, length - done))
        if not data:
            raise ConnectionError("the head hung up in the middle of it")
        digest.update(data)
        write(data)
        done += len(data)
        progress(done, length)
    return digest.digest()


def _exactly(connection: socket.socket, length: int) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        data = connection.recv(length - len(parts))
        if not data:
            raise ConnectionError("the head hung up in the middle of it")
        parts += data
    return bytes(parts)
