"""Slices: a host without the checkpoint gets its ranks' shares from the head, once.

On a socket of its own: the length, the bytes of the slice file (``slice_file.py``), their SHA-256.
The receiver checks and keeps it (``slice_cache.py``). Its name is made of what is in it: the
checkpoint's digest and the share; the next start finds it.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from banyan.core.errors import ClusterError, HashMismatch, UnsupportedModel
from banyan.core.layout import Share, to_json
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.cluster.slice_cache import Slice, SliceCache
from banyan.engine.comm.stream import Stream
from banyan.engine.cut import cut
from banyan.engine.formation import ModelIdentity
from banyan.engine.lexicon import Lexicon
from banyan.engine.slice_file import FORMAT, SUFFIX, slice_bytes

CHUNK_BYTES: Final = 1 << 20
SILENCE_S: Final = 30.0
"""How long either end waits for the other to take or give a piece."""


def slice_name(model: ModelIdentity, share: Share, *, leads: bool = False) -> str:
    """What the slice of that share of that checkpoint is called; ``leads``: with the lexicon."""
    parts = [FORMAT, model.digest, to_json(share), *(["lexicon"] if leads else [])]
    content = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32] + SUFFIX


def send_slice(connection: Stream, checkpoint: Path, share: Share, *, leads: bool = False) -> None:
    """Give the share of the checkpoint to whoever is at the other end of a proven connection, to a
    rank 0 (``leads``) with the lexicon.

    Raises ``OSError`` when it has gone, and what reading the checkpoint raises.
    """
    connection.settimeout(SILENCE_S)
    length, pieces = slice_bytes(
        cut(open_checkpoint(checkpoint), share), share, read_lexicon(checkpoint) if leads else None
    )
    digest = hashlib.sha256()
    connection.sendall(struct.pack(">Q", length))
    for piece in pieces:
        digest.update(piece)
        connection.sendall(piece)
    connection.sendall(digest.digest())


def read_lexicon(checkpoint: Path) -> Lexicon:
    """Raises ``CheckpointInvalid`` and ``UnsupportedModel``."""
    from banyan.engine.template import ChatTemplate  # these libraries are slow to import
    from banyan.engine.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(checkpoint)
    found = Lexicon(
        tokenizer=tokenizer.definition, bos_ids=tokenizer.bos_ids, eos_ids=tokenizer.eos_ids
    )
    try:
        template = ChatTemplate.load(checkpoint)
    except UnsupportedModel:
        return found
    return replace(
        found,
        template=template.source,
        bos_token=template.bos_token,
        eos_token=template.eos_token,
    )


def receive_slice(
    connection: Stream, cache: SliceCache, name: str, progress: Callable[[int, int], None]
) -> Slice:
    """Take a slice and keep it; ``progress`` is told bytes so far, and in all.

    Raises ``HashMismatch`` and ``ClusterError``; then nothing is left behind.
    """
    connection.settimeout(SILENCE_S)
    try:
        (length,) = struct.unpack(">Q", _exactly(connection, 8))
        with cache.room(length) as file:
            digest = _copied(connection, file.write, length, progress)
            if _exactly(connection, 32) != digest:
                raise HashMismatch(
                    "A slice arrived damaged.", remedy="Join again: it is sent anew."
                )
            file.flush()
            os.fsync(file.fileno())
            return cache.keep(file, name)
    except OSError as error:
        raise ClusterError(
            f"A slice could not be received: {error}.",
            remedy=f"Check the connection and the space under {cache.folder}.",
        ) from None


def _copied(
    connection: Stream,
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


def _exactly(connection: Stream, length: int) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        data = connection.recv(length - len(parts))
        if not data:
            raise ConnectionError("the head hung up in the middle of it")
        parts += data
    return bytes(parts)
