"""Propagation delay in user space: what is sent says when it may be read, and is not read sooner.

netem is not everywhere, so each frame on a delayed link begins with a time: when its last byte
has left a wire of the configured bandwidth, plus the delay. CLOCK_MONOTONIC is the same in all
processes of a machine, whatever their namespace. No thread stands in between, so a delay costs no
processor time, which the ranks on one core would feel.
"""

from __future__ import annotations

import ctypes
import struct
import time

from banyan.engine.comm.link import Link

PR_SET_TIMERSLACK = 29
FRAME_BYTES = 64 << 10
NAP_S = 1e-4
"""A rank that has other links to serve sleeps so long at most."""
_HEAD = struct.Struct("<dI")


class Delays:
    """The delay of this process's links, which may be changed while they are quiet. They share one
    wire of ``bandwidth`` bytes per second outwards."""

    def __init__(self, bandwidth: float) -> None:
        self.seconds = 0.0
        self._bandwidth = bandwidth
        self._free = 0.0
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)  # 50 us of slack would be added to each delay

    def wrap(self, link: Link) -> Link:
        """The same link, delayed; its other end must be wrapped too."""
        return _DelayedLink(link, self)

    def due(self, size_bytes: int) -> float:
        """When bytes that are sent now may be read."""
        self._free = max(self._free, time.monotonic()) + size_bytes / self._bandwidth
        return self._free + self.seconds


class _DelayedLink(Link):
    def __init__(self, link: Link, delays: Delays) -> None:
        super().__init__(link._socket, peer=link.peer, name=link.name)
        self._delays = delays
        self._unsent = memoryview(b"")
        self._left = 0  # bytes of the frame that is being read
        self._due = 0.0
        self._head = bytearray()

    def send(self, data: memoryview) -> None:
        for begin in range(0, len(data), FRAME_BYTES):
            super().send(self._framed(data[begin : begin + FRAME_BYTES]))

    def send_some(self, data: memoryview) -> int:
        """While a frame is not through, its last byte counts as not sent, so that the caller
        comes back with it."""
        sent = 0
        if not self._unsent:
            frame = data[:FRAME_BYTES]
            self._unsent = self._framed(frame)
            sent = len(frame) - 1
        self._unsent = self._unsent[super().send_some(self._unsent) :]
        return sent if self._unsent else sent + 1

    def recv_into(self, buffer: memoryview) -> None:
        while len(buffer):
            if not self._left:
                head = bytearray(_HEAD.size)
                super().recv_into(memoryview(head))
                self._due, self._left = _HEAD.unpack(head)
            time.sleep(max(0.0, self._due - time.monotonic()))
            count = min(self._left, len(buffer))
            super().recv_into(buffer[:count])
            self._left -= count
            buffer = buffer[count:]

    def recv_some(self, buffer: memoryview) -> int:
        if not self._left:
            rest = memoryview(bytearray(_HEAD.size - len(self._head)))
            self._head += rest[: super().recv_some(rest)]
            if len(self._head) < _HEAD.size:
                return 0
            self._due, self._left = _HEAD.unpack(self._head)
            self._head = bytearray()
        wait = self._due - time.monotonic()
        if wait > 0:
            time.sleep(min(wait, NAP_S))
            return 0
        count = super().recv_some(buffer[: self._left])
        self._left -= count
        return count

    def _framed(self, data: memoryview) -> memoryview:
        return memoryview(_HEAD.pack(self._delays.due(len(data)), len(data)) + bytes(data))
