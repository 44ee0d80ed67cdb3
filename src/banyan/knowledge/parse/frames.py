"""Length-prefixed JSON over a socket: how parser processes are spoken to. No pickle, ever."""

from __future__ import annotations

import json
import socket
import struct

_LENGTH = struct.Struct(">Q")


class FrameTooLong(Exception):
    """The other side announced a frame over the cap; nothing of it was read."""


def send_frame(channel: socket.socket, body: object) -> None:
    data = json.dumps(body, ensure_ascii=False).encode()
    channel.sendall(_LENGTH.pack(len(data)) + data)


def receive_frame(channel: socket.socket, cap_bytes: int) -> object:
    """The next frame's JSON value; raises ``EOFError`` when the other side has gone."""
    (length,) = _LENGTH.unpack(_exactly(channel, _LENGTH.size))
    if length > cap_bytes:
        raise FrameTooLong
    return json.loads(_exactly(channel, length))


def _exactly(channel: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = channel.recv(min(count - len(parts), 1 << 20))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)
