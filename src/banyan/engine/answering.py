"""Answering: the inside of the engine's process: calls from the wire, each in its own thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from banyan.core.context import Context
from banyan.core.errors import BanyanError, EngineFailed, Overloaded
from banyan.engine.config import EngineConfig
from banyan.engine.engine import Engine
from banyan.engine.formation import Seat
from banyan.engine.pulse import Pulse
from banyan.engine.wire import (
    BEAT_S,
    LOAD_ID,
    STATS_ID,
    Channel,
    Json,
    decode_messages,
    decode_sampling,
    encode_error,
    encode_event,
    encode_logprobs,
)


class Answering:
    """Loads one model, then answers; every answer carries the id of its call."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._engine: Engine | None = None
        self._most_calls = 0
        self._lock = threading.Lock()
        self._contexts: dict[int, Context] = {}
        self._operations: dict[str, Callable[[Engine, Json, Context], None]] = {
            "chat": self._chat,
            "complete": self._complete,
            "score": self._score,
            "count": self._count,
            "stats": self._stats,
            "memory_timeline": self._memory_timeline,
        }

    def lead(self, seat: Seat, path: Path, report: Callable[[str], None], pulse: Pulse) -> None:
        """Take rank 0's place in its group, then answer. ``report`` is told how far its loading is;
        raises, and tells the other side, what ``Engine.load`` raises."""
        config = seat.formation.config
        try:
            self._engine = Engine.load(path, config, seat, pulse, report)
        except Exception as error:  # told here for its kind, and by the caller to its supervisor
            self._send({"id": LOAD_ID, "error": encode_error(_told(error))})
            raise
        self._begin(config)
        report("ready")
        threading.Thread(target=self._tell_stats, args=(self._engine,), daemon=True).start()
        self.serve()

    def serve(self) -> None:
        """Answer until the other side has gone."""
        for frame in self._channel:
            if frame["op"] == "cancel":
                self._cancel(frame["id"])
            elif frame["op"] == "load":
                self._start(self._load, frame)
            elif len(self._contexts) >= self._most_calls:
                error = Overloaded(f"{self._most_calls} calls are under way.")
                self._send({"id": frame["id"], "error": encode_error(error)})
            else:
                with self._lock:
                    self._contexts[frame["id"]] = Context()
                self._start(self._answer, frame)

    def _start(self, target: Callable[[Json], None], frame: Json) -> None:
        threading.Thread(target=target, args=(frame,), daemon=True).start()

    def _cancel(self, call_id: int) -> None:
        with self._lock:
            context = self._contexts.get(call_id)
        if context is not None:
            context.cancel.set()

    def _load(self, frame: Json) -> None:
        try:
            config = EngineConfig(**frame["config"])
            self._engine = Engine.load(Path(frame["path"]), config)
            self._begin(config)
        except Exception as error:  # the border of the process: every failure is told
            self._send({"id": frame["id"], "error": encode_error(_told(error))})

    def _begin(self, config: EngineConfig) -> None:
        """From now on calls are answered."""
        # Those that only count or ask for figures come beside those the engine queues.
        self._most_calls = 2 * (config.max_waiting + config.max_sequences)
        self._send({"id": LOAD_ID, "value": None})

    def _answer(self, frame: Json) -> None:
        call_id = frame["id"]
        try:
            if self._engine is None:
                raise EngineFailed("The model is not loaded.")
            self._operations[frame["op"]](self._engine, frame, self._contexts[call_id])
        except Exception as error:  # the border of the process: every failure is told
            self._send({"id": call_id, "error": encode_error(_told(error))})
        finally:
            with self._lock:
                del self._contexts[call_id]

    def _chat(self, engine: Engine, frame: Json, context: Context) -> None:
        messages = decode_messages(frame["messages"])
        for event in engine.chat(messages, decode_sampling(frame["sampling"]), context):
            self._send({"id": frame["id"], "event": encode_event(event)})

    def _complete(self, engine: Engine, frame: Json, context: Context) -> None:
        sampling = decode_sampling(frame["sampling"])
        for event in engine.complete(frame["prompt"], sampling, context):
            self._send({"id": frame["id"], "event": encode_event(event)})

    def _score(self, engine: Engine, frame: Json, context: Context) -> None:
        pairs = [(prefix, text) for prefix, text in frame["pairs"]]
        scored = engine.score(pairs, context)
        self._send({"id": frame["id"], "value": [encode_logprobs(entry) for entry in scored]})

    def _count(self, engine: Engine, frame: Json, context: Context) -> None:
        context.check()
        self._send({"id": frame["id"], "value": engine.count(frame["text"])})

    def _stats(self, engine: Engine, frame: Json, context: Context) -> None:
        context.check()
        self._send({"id": frame["id"], "value": asdict(engine.stats)})

    def _memory_timeline(self, engine: Engine, frame: Json, context: Context) -> None:
        context.check()
        samples = [asdict(sample) for sample in engine.memory_timeline]
        self._send({"id": frame["id"], "value": samples})

    def _tell_stats(self, engine: Engine) -> None:
        while True:
            self._send({"id": STATS_ID, "stats": asdict(engine.stats)})
            time.sleep(BEAT_S)

    def _send(self, frame: Json) -> None:
        try:
            self._channel.send(frame)
        except OSError:
            pass  # nobody is left to answer; ``serve`` sees the end, too


def _told(error: Exception) -> BanyanError:
    if isinstance(error, BanyanError):
        return error
    return EngineFailed(f"The engine failed: {type(error).__name__}: {error}")
