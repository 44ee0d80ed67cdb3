"""Relay: two connections made one, so that a process can be given a plain local socket of a
connection that its supervisor has proven."""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from typing import Final

from banyan.engine.comm.stream import Stream

CHUNK_BYTES: Final = 1 << 16


def relayed(connection: Stream) -> socket.socket:
    """A local socket that carries what ``connection`` does, both ways, until either end closes.

    From now on the connection is the relay's, the socket that is returned the caller's.
    """
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ours, theirs = socket.socketpair()
    threading.Thread(target=_join, args=(connection, ours), name="relay", daemon=True).start()
    return theirs


def _join(one: Stream, other: Stream) -> None:
    back = threading.Thread(target=_carry, args=(other, one), name="relay back", daemon=True)
    back.start()
    with closing(one), closing(other):
        _carry(one, other)
        back.join()


def _carry(source: Stream, target: Stream) -> None:
    """Until the source has no more; then both are at their ends."""
    try:
        while data := source.recv(CHUNK_BYTES):
            target.sendall(data)
    except OSError:
        pass  # one of them broke, which ends both just as well
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # its peer was first
