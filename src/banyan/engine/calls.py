"""Calls: the asking end of one engine: sends calls over a channel, sorts what comes back.

``link.py`` starts a process of this host behind it; rank 0 of a group may be on another host. It
does not import torch, nor may anything it imports.
"""

from __future__ import annotations

import threading
import time
from itertools import count
from queue import Empty, SimpleQueue

from banyan.core.context import Context
from banyan.core.errors import BanyanError, EngineFailed
from banyan.core.layout import from_json
from banyan.engine.stats import EngineStats
from banyan.engine.wire import LOAD_ID, STATS_ID, Channel, Json, decode_error, encode_error

POLL_S = 0.05
"""How often a waiting caller looks whether it is still wanted."""


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


class Calls:
    """Calls to the engine at the other end of ``channel``, until that end has gone; ``stats`` are
    what a rank 0 last told of itself."""

    def __init__(self, channel: Channel) -> None:
        self.stats: EngineStats | None = None
        self._channel = channel
        self._lock = threading.Lock()
        self._call_ids = count(LOAD_ID + 1)
        self._calls: dict[int, Call] = {}
        self._failure: BanyanError | None = None
        self._reason: BanyanError | None = None
        self._settled = threading.Event()
        self._ended = threading.Event()
        self._closing = False
        self._used_at = time.monotonic()
        threading.Thread(target=self._read, name="engine calls", daemon=True).start()

    @property
    def is_ready(self) -> bool:
        return self._settled.is_set() and self._failure is None

    @property
    def has_failed(self) -> bool:
        """The model could not be loaded, or the engine has ended or is ending."""
        return self._failure is not None or self._closing

    @property
    def failure(self) -> BanyanError | None:
        """Why the model could not be loaded, or why the engine has ended."""
        return self._failure

    def wait_ready(self, context: Context) -> None:
        """Wait until the model is loaded. Raises what loading raised."""
        while not self._settled.wait(POLL_S):
            context.check()
        if self._failure is not None:
            raise decode_error(encode_error(self._failure))

    def call(self, op: str, arguments: Json, *, is_use: bool = True) -> Call | None:
        """Send a call; None when the engine has ended or is ending.

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
        """End the connection and wait for its end; calls under way raise ``reason``, or else
        ``EngineFailed``."""
        with self._lock:
            self._closing = True
            self._reason = reason
        self._channel.close()
        self._ended.wait()

    def wait_end(self, timeout_s: float) -> bool:
        """Wait for the other end to have gone; False when it lives on."""
        return self._ended.wait(timeout_s)

    def _send(self, frame: Json) -> None:
        try:
            self._channel.send(frame)
        except OSError:
            pass  # the other end has gone; the reading thread says so to every call

    def _read(self) -> None:
        error: BanyanError | None = None
        try:
            for frame in self._channel:
                if frame["id"] == STATS_ID:
                    self.stats = from_json(EngineStats, frame["stats"])
                elif frame["id"] == LOAD_ID:
                    self._settle(decode_error(frame["error"]) if "error" in frame else None)
                elif call := self._calls.get(frame["id"]):
                    call.frames.put(frame)
        except (BanyanError, KeyError, ValueError) as wrong:
            error = EngineFailed(f"The engine said what cannot be understood: {wrong}")
        finally:
            self._end(error)

    def _settle(self, failure: BanyanError | None) -> None:
        self._failure = failure
        self._settled.set()
        if failure is not None:
            self._channel.close()

    def _gone(self) -> BanyanError:
        """What to say of an end that nobody had asked for."""
        return EngineFailed("The connection to the engine has ended.", remedy="Retry.")

    def _end(self, error: BanyanError | None) -> None:
        gone = self._gone()
        if self._closing:
            error = self._reason or EngineFailed("The model was unloaded.")
        error = error or gone
        with self._lock:
            self._failure = self._failure or error
            calls = list(self._calls.values())
        self._channel.close()
        self._settled.set()
        for call in calls:
            call.frames.put({"id": call.id, "error": encode_error(error)})
        self._ended.set()
