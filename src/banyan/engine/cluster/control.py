"""Control: the one connection between a host and the head, and what is said on it.

    host -> head                              head -> host
    hello    name, cores, memory, device      welcome
    prepared ports of the ranks               prepare  which ranks, at which address
    rank     the state of one                 start    the formation
    beat     memory, resident sizes           beat
                                              stop

Frames are JSON, at most ``MAX_CONTROL_BYTES`` long, after the handshake with the join token. Who
says something else, or nothing for ``DEAD_S``, is cut off.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psutil

from banyan.core.errors import BanyanError, JoinRefused
from banyan.engine.config import available_cores
from banyan.engine.wire import Channel, Json

MAX_CONTROL_BYTES: Final = 1 << 20
BEAT_S: Final = 1.0
"""How often both ends say that they live."""
DEAD_S: Final = 3.0
"""After this long without a word the other end counts as dead."""
CONTROL: Final = "control"
SLICE: Final = "slice"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """What a host says of itself when it joins. ``ranks`` are the processes it offers."""

    name: str
    ranks: int
    device: str
    cores: int
    memory_bytes: int

    def __post_init__(self) -> None:
        if not 0 < self.ranks <= MAX_RANKS or self.cores <= 0 or self.memory_bytes <= 0:
            raise ValueError(
                f"{self.name!r:.40} offers {self.ranks} ranks; 1 to {MAX_RANKS} can be"
            )
        if not 0 < len(self.name) <= 64 or not self.name.isprintable():
            raise ValueError("a host's name must have 1 to 64 printable characters")


MAX_RANKS: Final = 64
"""Ranks one host may offer."""


def report_of(name: str, ranks: int, device: str) -> HostReport:
    """This machine as it would join; its memory is what the system says."""
    return HostReport(
        name=name,
        ranks=ranks,
        device=device,
        cores=available_cores(),
        memory_bytes=int(psutil.virtual_memory().total),
    )


class Conversation:
    """A control connection: hands on frames, beats, and notices silence.

    ``on_end`` is called once, with why it ended.
    """

    def __init__(
        self,
        connection: socket.socket,
        on_frame: Callable[[Json], None],
        on_end: Callable[[str], None],
        beat: Callable[[], Json] = dict,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channel = Channel(connection, max_bytes=MAX_CONTROL_BYTES)
        self._on_frame = on_frame
        self._on_end = on_end
        self._beat = beat
        self._clock = clock
        self._heard = clock()
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def run(self) -> None:
        """Begin to read and to beat, in threads of its own."""
        threading.Thread(target=self._read, name="control", daemon=True).start()
        threading.Thread(target=self._keep, name="control beat", daemon=True).start()

    @property
    def silence_s(self) -> float:
        """Seconds since the other end last said something."""
        return self._clock() - self._heard

    def send(self, frame: Json) -> None:
        """Of no effect once the connection has ended; ``on_end`` says so."""
        try:
            self._channel.send(frame)
        except OSError:
            self.close("The connection broke.")

    def close(self, cause: str) -> None:
        """End the conversation, for that reason unless it had ended before."""
        with self._lock:
            first = not self._ended.is_set()
            self._ended.set()  # before the reader sees the end, which would give another cause
        self._channel.close()
        if first:
            self._on_end(cause)

    def _read(self) -> None:
        cause = "The connection was closed."
        try:
            for frame in self._channel:
                self._heard = self._clock()
                if frame.get("op") != "beat" or len(frame) > 1:
                    self._on_frame(frame)
        except (BanyanError, ValueError, KeyError, TypeError) as error:
            cause = f"It said what cannot be understood: {error}"
        self.close(cause)

    def _keep(self) -> None:
        while not self._ended.wait(BEAT_S / 2):
            self.send({"op": "beat", **self._beat()})
            if self.silence_s > DEAD_S:
                self.close(
                    f"It has not answered for {self.silence_s:.1f} s: the machine is stopped, or "
                    "the network between is down."
                )


def expect(frame: Json, op: str) -> Json:
    """``frame``, which must be of that kind; raises ``JoinRefused``."""
    if frame.get("op") == "refused":
        raise JoinRefused(str(frame.get("message", "")), remedy=str(frame.get("remedy", "")))
    if frame.get("op") != op:
        raise JoinRefused(f"{frame.get('op')!r:.40} was said where {op!r} was due.")
    return frame
