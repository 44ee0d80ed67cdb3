"""The wire between a process and its engine process: frames of JSON over a local socket.

A frame is four bytes of length (big-endian), then that much UTF-8 JSON. Nothing longer than
``MAX_FRAME_BYTES`` is sent or read, and nothing is ever unpickled. The rest of this file turns
the records that cross the wire into JSON values and back.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, TypeAlias

from banyan.core import errors
from banyan.core.errors import BanyanError, EngineFailed, LimitExceeded
from banyan.core.events import GenerationDone, TokenReady
from banyan.core.types import Message, Sampling, TokenLogprob, Usage
from banyan.engine.comm.stream import Stream

MAX_FRAME_BYTES = 64 << 20
"""Longest frame that is sent or read."""
LOAD_ID = 0
"""The id of the frame that asks for the model, and of the one that says it is loaded."""
STATS_ID = -1
"""The id of the frames by which a rank 0 tells its figures unasked."""
BEAT_S = 0.5
"""How often a process that is watched says so."""

Json: TypeAlias = dict[str, Any]


class Channel:
    """Frames over a connection; any thread may send, one reads."""

    def __init__(self, connection: Stream, *, max_bytes: int | None = None) -> None:
        self._connection = connection
        self._max_bytes = max_bytes or MAX_FRAME_BYTES
        self._sending = threading.Lock()

    def send(self, value: Json) -> None:
        """Raises ``LimitExceeded`` for an over-long frame, ``OSError`` when the peer has gone."""
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "surrogatepass"
        )
        if len(body) > self._max_bytes:
            raise LimitExceeded(
                "A message between processes is too long",
                limit="MAX_FRAME_BYTES",
                value=len(body),
                allowed=self._max_bytes,
            )
        with self._sending:
            self._connection.sendall(struct.pack(">I", len(body)) + body)

    def __iter__(self) -> Iterator[Json]:
        """Frames until the peer has gone. Raises ``EngineFailed`` for what is no frame."""
        while (head := self._read(4)) is not None:
            (length,) = struct.unpack(">I", head)
            if length > self._max_bytes:
                raise EngineFailed(
                    f"A frame of {length} bytes was announced; at most {self._max_bytes} are read."
                )
            body = self._read(length)
            if body is None:
                return
            yield _parse(body)

    def close(self) -> None:
        """End both directions; a reader in another thread sees the end."""
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the peer was first
        self._connection.close()

    def _read(self, length: int) -> bytes | None:
        """Exactly ``length`` bytes, or None at the end of the stream."""
        parts = bytearray()
        while len(parts) < length:
            try:
                part = self._connection.recv(min(length - len(parts), 1 << 20))
            except OSError:
                return None
            if not part:
                return None
            parts += part
        return bytes(parts)


def _parse(body: bytes) -> Json:
    try:
        value = json.loads(body.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise EngineFailed(f"A frame is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise EngineFailed("A frame is not a JSON object.")
    return value


def encode_messages(messages: tuple[Message, ...]) -> list[Json]:
    return [{"role": message.role, "content": message.content} for message in messages]


def decode_messages(values: list[Json]) -> tuple[Message, ...]:
    return tuple(Message(**value) for value in values)


def encode_sampling(sampling: Sampling) -> Json:
    return asdict(sampling)


def decode_sampling(value: Json) -> Sampling:
    return Sampling(**{**value, "stop": tuple(value["stop"])})


def encode_logprobs(logprobs: tuple[TokenLogprob, ...]) -> list[Any]:
    return [[entry.text, entry.logprob, entry.top] for entry in logprobs]


def decode_logprobs(values: list[Any]) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(text=text, logprob=logprob, top=tuple((name, value) for name, value in top))
        for text, logprob, top in values
    )


def encode_event(event: TokenReady | GenerationDone) -> Json:
    if isinstance(event, TokenReady):
        return {"text": event.text, "logprobs": encode_logprobs(event.logprobs)}
    return {"finish_reason": event.finish_reason, "usage": asdict(event.usage)}


def decode_event(value: Json) -> TokenReady | GenerationDone:
    if "text" in value:
        return TokenReady(text=value["text"], logprobs=decode_logprobs(value["logprobs"]))
    return GenerationDone(finish_reason=value["finish_reason"], usage=Usage(**value["usage"]))


def encode_error(error: BanyanError) -> Json:
    return {"code": error.code, "message": str(error), "remedy": error.remedy}


def decode_error(value: Json) -> BanyanError:
    """The error of the same class; of a class unknown here, an ``EngineFailed``."""
    kind = _ERRORS.get(value["code"], EngineFailed)
    error = kind.__new__(kind)
    BanyanError.__init__(error, value["message"], remedy=value["remedy"])
    return error


_ERRORS = {
    kind.__new__(kind).code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, BanyanError)
}
