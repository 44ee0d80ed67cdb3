"""Link: an authenticated stream of bytes to one other rank, and many of them at a time.

A link has no framing: both ends of a collective know how many bytes come next. Sockets are
blocking; ``Pump`` moves data on several at once without blocking on any.
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from collections.abc import Iterable
from typing import Final

from banyan.core.errors import PeerLost

KEEPALIVE_IDLE_S: Final = 1
KEEPALIVE_INTERVAL_S: Final = 1
KEEPALIVE_PROBES: Final = 3
"""A peer that is cut off while nothing is sent is found within about four seconds.

One to which something is being sent is found by the control connections' heartbeats: no time limit
on what is sent (TCP_USER_TIMEOUT) can tell a peer that is gone from one that is busy and does not
read yet, for it counts the time with a closed window, too."""


class Link:
    """``name`` is how errors call the peer: ``rank 3 on host b``. ``spin_s``: so long ``recv_into``
    looks again and again before it sleeps. A rank that has a core for itself is then awake when the
    bytes come; waking it takes as long as a short message does."""

    def __init__(self, connection: socket.socket, *, peer: int, name: str = "") -> None:
        self.spin_s = 0.0
        self.peer = peer
        self.name = name or f"rank {peer}"
        self._socket = connection
        connection.settimeout(None)
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            _tune(connection)

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, data: memoryview) -> None:
        """All of ``data``; blocks while the peer does not read. Raises ``PeerLost``."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise self.lost(error) from None

    def recv_into(self, buffer: memoryview) -> None:
        """Fill ``buffer``. Raises ``PeerLost``."""
        if self.spin_s:
            buffer = self._spun(buffer)
        while len(buffer):
            try:
                count = self._socket.recv_into(buffer, len(buffer), socket.MSG_WAITALL)
            except OSError as error:
                raise self.lost(error) from None
            if count == 0:
                raise self.lost(None)
            buffer = buffer[count:]

    def _spun(self, buffer: memoryview) -> memoryview:
        """What is still to be filled of ``buffer`` after looking for ``spin_s``."""
        end = time.perf_counter() + self.spin_s
        while len(buffer) and time.perf_counter() < end:
            buffer = buffer[self.recv_some(buffer) :]
        return buffer

    def send_some(self, data: memoryview) -> int:
        """As much as goes without waiting; 0 when nothing does."""
        try:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self.lost(error) from None

    def recv_some(self, buffer: memoryview) -> int:
        """As much as has arrived, at most ``len(buffer)``; 0 when nothing has."""
        try:
            count = self._socket.recv_into(buffer, len(buffer), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self.lost(error) from None
        if count == 0:
            raise self.lost(None)
        return count

    def close(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the peer was first
        self._socket.close()

    def lost(self, error: OSError | None) -> PeerLost:
        """What to raise when the stream has ended."""
        cause = "closed the connection" if error is None else f"is gone: {error.strerror}"
        return PeerLost(f"{self.name} {cause}.")


class Pump:
    """Sends and receives on several links at once.

    ``send`` and ``expect`` only queue; ``turn`` does the work. Views must stay valid, and what is
    being sent unchanged, until they are through.
    """

    def __init__(self, links: Iterable[Link]) -> None:
        self._links = {link.fileno(): link for link in links}
        self._out: dict[int, deque[memoryview]] = {fd: deque() for fd in self._links}
        self._in: dict[int, deque[memoryview]] = {fd: deque() for fd in self._links}
        self._received = dict.fromkeys(self._links, 0)
        self._poll = select.poll()

    def send(self, link: Link, data: memoryview) -> None:
        if len(data):
            self._out[link.fileno()].append(data)

    def expect(self, link: Link, buffer: memoryview) -> None:
        """The next bytes of ``link`` go into ``buffer``."""
        if len(buffer):
            self._in[link.fileno()].append(buffer)

    def received(self, link: Link) -> int:
        """Bytes that have come from ``link`` since the pump was made."""
        return self._received[link.fileno()]

    @property
    def busy(self) -> bool:
        return any(self._out.values()) or any(self._in.values())

    def turn(self, *, wait: bool) -> None:
        """Move what can be moved; with ``wait`` at least something. Raises ``PeerLost``."""
        moved = [self._push(fd) for fd, queue in self._out.items() if queue]
        moved += [self._pull(fd) for fd, queue in self._in.items() if queue]
        if wait and moved and not any(moved):
            self._wait()

    def run(self) -> None:
        """Turn until everything queued is through. Raises ``PeerLost``."""
        while self.busy:
            self.turn(wait=True)

    def _push(self, fd: int) -> int:
        queue, link, total = self._out[fd], self._links[fd], 0
        while queue:
            count = link.send_some(queue[0])
            if count == 0:
                break
            total += count
            _advance(queue, count)
        return total

    def _pull(self, fd: int) -> int:
        queue, link, total = self._in[fd], self._links[fd], 0
        while queue:
            count = link.recv_some(queue[0])
            if count == 0:
                break
            total += count
            _advance(queue, count)
        self._received[fd] += total
        return total

    def _wait(self) -> None:
        """Sleep until a link has room or data."""
        for fd in self._links:
            wanted = select.POLLOUT if self._out[fd] else 0
            wanted |= select.POLLIN if self._in[fd] else 0
            if wanted:
                self._poll.register(fd, wanted)
            else:
                try:
                    self._poll.unregister(fd)
                except KeyError:
                    pass  # it was not
        self._poll.poll()


def _advance(queue: deque[memoryview], count: int) -> None:
    if count == len(queue[0]):
        queue.popleft()
    else:
        queue[0] = queue[0][count:]


def _tune(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
