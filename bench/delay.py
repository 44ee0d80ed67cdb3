"""Propagation delay in user space: what arrives on a link is handed on ``delay_s`` later.

A thread stands between the rank and its sockets. What the rank sends passes at once; what comes in
is held from the moment it arrived, so the delay adds to the time on the wire, as distance does.
"""

from __future__ import annotations

import ctypes
import select
import socket
import threading
import time
from collections import deque

from banyan.engine.comm.link import Link

PR_SET_TIMERSLACK = 29
CHUNK = 128 << 10


class Delays:
    """The delay of this process's links, which may be changed while they are quiet."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wrap(self, link: Link) -> Link:
        """A link like this one, behind a relay."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                end.setsockopt(socket.SOL_SOCKET, option, 4 << 20)
        wire = link._socket
        threading.Thread(target=self._outbound, args=(theirs, wire), daemon=True).start()
        threading.Thread(target=self._inbound, args=(wire, theirs), daemon=True).start()
        return Link(ours, peer=link.peer, name=link.name)

    def _outbound(self, source: socket.socket, wire: socket.socket) -> None:
        while data := source.recv(CHUNK):
            wire.sendall(data)

    def _inbound(self, wire: socket.socket, target: socket.socket) -> None:
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)
        held: deque[tuple[float, bytes]] = deque()
        poll = select.poll()
        poll.register(wire, select.POLLIN)
        while True:
            if not held or poll.poll(0):
                data = wire.recv(CHUNK)
                if not data:
                    return
                held.append((time.monotonic() + self.seconds, data))
            left = held[0][0] - time.monotonic()
            if left <= 0:
                target.sendall(held.popleft()[1])
            elif not poll.poll(0):
                time.sleep(min(left, 5e-5))
