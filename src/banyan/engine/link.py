"""The parent's end of one engine process: starts it, sends calls, sorts what comes back.

A link lives as long as its process. It knows nothing of restarting; ``process.py`` does. It does
not import torch, nor may anything it imports.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue

import psutil

from banyan.core.context import Context
from banyan.core.errors import BanyanError, EngineFailed
from banyan.core.layout import from_json, to_json
from banyan.engine.config import EngineConfig
from banyan.engine.formation import Seat
from banyan.engine.pulse import Progress
from banyan.engine.stats import EngineStats
from banyan.engine.wire import BEAT_ID, Channel, Json, decode_error, encode_error

POLL_S = 0.05
"""How often a waiting caller looks whether it is still wanted."""
GRACE_S = 2.0
"""How long a process that has closed its socket may take to end before it is killed."""
LOAD = 0
"""The id of the first call of all."""


class Call:
    """One call under way: its answers in the order they came."""

    def __init__(self, call_id: int) -> None:
        self.id = call_id
        self.frames: SimpleQueue[Json] = SimpleQueue()

    def next(self, context: Context) -> Json:
        """The next frame. Raises what the process raised, and what ``context.check`` raises."""
        while True:
            context.check()
            try:
                frame = self.frames.get(timeout=POLL_S)
            except Empty:
                continue
            if "error" in frame:
                raise decode_error(frame["error"])
            return frame


class Link:
    """A process from its start to its end; ``idle_unload_s`` ends it after that long unused.

    With a ``seat`` it is rank 0 of a group, inherits the seat's descriptors and says all the time
    that it lives and how far it is.
    """

    def __init__(
        self,
        path: Path,
        config: EngineConfig,
        *,
        idle_unload_s: float | None,
        seat: Seat | None = None,
    ) -> None:
        ours, theirs = socket.socketpair()
        inherited = () if seat is None else (seat.listener_fd, *seat.memory_fds)
        with theirs:
            self._process = subprocess.Popen(  # -P: nothing of the user's folder is imported
                [sys.executable, "-P", "-m", "banyan.engine.child", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *inherited),
            )
        self.pid = self._process.pid
        self.exit_status = 0
        self.progress = Progress()
        self.stats: EngineStats | None = None
        self._heard = time.monotonic()
        self._channel = Channel(ours)
        self._lock = threading.Lock()
        self._call_ids = count(LOAD + 1)
        self._calls: dict[int, Call] = {}
        self._failure: BanyanError | None = None
        self._reason: BanyanError | None = None
        self._settled = threading.Event()
        self._ended = threading.Event()
        self._closing = False
        self._used_at = time.monotonic()
        threading.Thread(target=self._read, name="engine-link", daemon=True).start()
        if idle_unload_s is not None:
            arguments = (idle_unload_s,)
            threading.Thread(target=self._watch, args=arguments, daemon=True).start()
        load = {"path": str(path), "config": asdict(config)}
        load |= {} if seat is None else {"seat": to_json(seat)}
        self._send({"op": "load", "id": LOAD, **load})

    @property
    def is_ready(self) -> bool:
        return self._settled.is_set() and self._failure is None

    @property
    def has_failed(self) -> bool:
        """The model could not be loaded, or the process has ended or is ending."""
        return self._failure is not None or self._closing

    @property
    def failure(self) -> BanyanError | None:
        """Why the model could not be loaded, or why the process has ended."""
        return self._failure

    @property
    def silence_s(self) -> float:
        """Seconds since it last said something; of meaning only with a seat."""
        return time.monotonic() - self._heard

    @property
    def rss_bytes(self) -> int:
        """Memory the process holds now; 0 when it has ended."""
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def wait_ready(self, context: Context) -> None:
        """Wait until the model is loaded. Raises what loading raised."""
        while not self._settled.wait(POLL_S):
            context.check()
        if self._failure is not None:
            raise decode_error(encode_error(self._failure))

    def call(self, op: str, arguments: Json, *, is_use: bool = True) -> Call | None:
        """Send a call; None when the process has ended or is ending.

        ``is_use`` False: a call that must not keep an idle model loaded.
        """
        with self._lock:
            if self.has_failed:
                return None
            call = Call(next(self._call_ids))
            self._calls[call.id] = call
            if is_use:
                self._used_at = time.monotonic()
        try:
            self._send({**arguments, "op": op, "id": call.id})
        except BanyanError:
            self.hang_up(call, is_use=is_use)
            raise
        return call

    def hang_up(self, call: Call, *, is_use: bool = True) -> None:
        """Nobody waits for this call any more; of no effect on one that is over."""
        with self._lock:
            del self._calls[call.id]
            if is_use:
                self._used_at = time.monotonic()
        self._send({"op": "cancel", "id": call.id})

    def close(self, reason: BanyanError | None = None) -> None:
        """End the process and wait for its end; calls under way raise ``reason``, or else
        ``EngineFailed``."""
        with self._lock:
            self._closing = True
            self._reason = reason
        self._channel.close()
        self._ended.wait()

    def wait_end(self, timeout_s: float) -> bool:
        """Wait for the process to have ended; False when it lives on."""
        return self._ended.wait(timeout_s)

    def _send(self, frame: Json) -> None:
        try:
            self._channel.send(frame)
        except OSError:
            pass  # the process has gone; the reading thread says so to every call

    def _read(self) -> None:
        try:
            for frame in self._channel:
                self._heard = time.monotonic()
                if frame["id"] == BEAT_ID:
                    self._take_beat(frame)
                elif frame["id"] == LOAD:
                    self._settle(decode_error(frame["error"]) if "error" in frame else None)
                elif call := self._calls.get(frame["id"]):
                    call.frames.put(frame)
        finally:
            self._end(self._reap())

    def _take_beat(self, frame: Json) -> None:
        self.progress = from_json(Progress, frame["beat"])
        if "stats" in frame:
            self.stats = from_json(EngineStats, frame["stats"])

    def _settle(self, failure: BanyanError | None) -> None:
        self._failure = failure
        self._settled.set()
        if failure is not None:
            self._channel.close()

    def _reap(self) -> int:
        """Make sure the process is gone; its exit status."""
        if not self._closing:
            try:
                return self._process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                pass
        self._process.kill()
        return self._process.wait()

    def _end(self, status: int) -> None:
        self.exit_status = status
        unloaded = self._reason or EngineFailed("The model was unloaded.")
        error = unloaded if self._closing else _death(status)
        with self._lock:
            self._failure = self._failure or error
            calls = list(self._calls.values())
        self._channel.close()
        self._settled.set()
        for call in calls:
            call.frames.put({"id": call.id, "error": encode_error(error)})
        self._ended.set()

    def _watch(self, idle_unload_s: float) -> None:
        while not self._ended.wait(min(1.0, idle_unload_s / 4)):
            with self._lock:
                busy = bool(self._calls) or not self._settled.is_set()
                idle = time.monotonic() - self._used_at > idle_unload_s
                self._closing = self._closing or (idle and not busy)
            if self._closing:
                self._channel.close()


def _death(status: int) -> EngineFailed:
    """What became of a process that nobody had asked to end."""
    if status >= 0:
        return EngineFailed(
            f"The engine's process ended with exit status {status}.",
            remedy="Retry: the next request starts it again. Its messages are in the log.",
        )
    name = signal.Signals(-status).name
    return EngineFailed(
        f"The engine's process was killed by {name}.",
        remedy="Retry: the next request starts it again. SIGKILL is often the system short of "
        "memory: then lower kv_cache_bytes or take a smaller model.",
    )
