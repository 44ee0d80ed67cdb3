"""Control: the one connection between a host and the head (what is said on it: ``frames.py``).

Frames are JSON, at most ``MAX_CONTROL_BYTES`` long, after the handshake with the join token. Who
says something else, or nothing for ``DEAD_S``, is cut off.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Final

import psutil

from banyan.core.errors import BanyanError
from banyan.core.layout import DeviceFacts
from banyan.engine.cluster.frames import Beat, HostReport, frame
from banyan.engine.comm.stream import Stream
from banyan.engine.config import available_cores
from banyan.engine.wire import Channel, Json

MAX_CONTROL_BYTES: Final = 1 << 20
BEAT_S: Final = 1.0
"""Both ends say at least this often that they live."""
DEAD_S: Final = 3.0
"""After this long without a word the other end counts as dead."""
CONTROL: Final = "control"
SLICE: Final = "slice"
CALLS: Final = "calls"
"""A connection that carries calls to a rank 0 which is not on the head's host."""

Clock = Callable[[], float]


def report_of(
    name: str,
    ranks: int,
    device: str,
    *,
    instance: str = "",
    measured: DeviceFacts | None = None,
) -> HostReport:
    """This machine as it would join; its memory is what the system says.

    Raises ``ValueError`` for what no host can offer.
    """
    return HostReport(
        name=name,
        ranks=ranks,
        device=device,
        cores=available_cores(),
        memory_bytes=int(psutil.virtual_memory().total),
        instance=instance,
        measured=measured,
    )


class Conversation:
    """A control connection: hands on frames, beats, and notices silence.

    ``on_frame`` is called from one thread, frame by frame; what it raises of ``BanyanError`` or
    ``ValueError`` ends the conversation. ``on_end`` is called once, with why it ended.
    """

    def __init__(
        self,
        connection: Stream,
        on_frame: Callable[[Json], None],
        on_end: Callable[[str], None],
        beat: Callable[[], Beat] | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        connection.settimeout(None)
        # A stopped peer reads nothing: a full buffer must not hold up whoever sends for ever.
        timeout = struct.pack("ll", int(DEAD_S), 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        self._channel = Channel(connection, max_bytes=MAX_CONTROL_BYTES)
        self._on_frame = on_frame
        self._on_end = on_end
        self._beat = beat
        self._clock = clock
        self._heard = clock()
        self._handling = False
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def run(self) -> None:
        """Begin to read and to beat, in threads of its own."""
        threading.Thread(target=self._read, name="control", daemon=True).start()
        threading.Thread(target=self._keep, name="control beat", daemon=True).start()

    @property
    def silence_s(self) -> float:
        """Seconds since the other end last said something, as far as it has been listened to."""
        return 0.0 if self._handling else self._clock() - self._heard

    def send(self, message: Json) -> None:
        """Of no effect once the connection has ended; ``on_end`` says so."""
        try:
            self._channel.send(message)
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
            for heard in self._channel:
                self._handling = True  # which may take a while: the next one waits for its turn
                self._on_frame(heard)
                self._heard = self._clock()
                self._handling = False
        except (BanyanError, ValueError) as error:
            cause = f"It said what cannot be understood: {error}"
        self.close(cause)

    def _keep(self) -> None:
        while not self._ended.wait(BEAT_S / 2):
            if self.silence_s > DEAD_S:
                self.close(
                    f"It has not answered for {self.silence_s:.1f} s: the machine is stopped, or "
                    "the network between is down."
                )
            else:
                self.send(frame("beat", None if self._beat is None else self._beat()))
