"""EngineProcess: an ``Engine`` in a process of its own, behind the same ports.

    EngineProcess (here)      starts the process on first use, again after it died
      Link (link.py)          one running process; calls out, answers back: calls.py
        Channel (wire.py)     length-capped frames of JSON over a socket pair
          Answering (answering.py)  in that process (child.py): an ``Engine`` that answers

Nothing here imports torch, so a server or a command line stays small and answers while a model
loads. The process ends with its parent: the socket between them closes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from banyan.core.context import Context
from banyan.core.errors import BanyanError
from banyan.core.events import GenerationDone, TokenReady
from banyan.core.layout import from_json
from banyan.core.types import Message, Sampling, TokenLogprob
from banyan.engine.calls import Call, Calls
from banyan.engine.config import EngineConfig
from banyan.engine.link import Link
from banyan.engine.stats import EngineStats, MemorySample
from banyan.engine.wire import (
    Json,
    decode_event,
    decode_logprobs,
    encode_messages,
    encode_sampling,
)

STATS_TIMEOUT_S = 2.0
"""How long ``stats`` waits for a process that is slow to answer."""


class EngineProcess:
    """A ``ChatModel``, ``TextModel``, ``TextScorer`` and ``TokenCounter``; thread-safe.

    The constructor returns at once. The first use waits for the model to load, looking at its
    context; loading raises what ``Engine.load`` raises, and the use after that tries again. A
    process that dies fails the calls under way with ``EngineFailed``; the next call restarts it.
    ``idle_unload_s``: unload after that many seconds without use (None: never).
    """

    def __init__(
        self, path: Path, config: EngineConfig, *, idle_unload_s: float | None = None
    ) -> None:
        self.path = path
        self.config = config
        self._idle_unload_s = idle_unload_s
        self._lock = threading.Lock()
        self._link: Link | None = None

    @property
    def state(self) -> Literal["installed", "loading", "ready"]:
        link = self._link
        if link is None or link.has_failed:
            return "installed"
        return "ready" if link.is_ready else "loading"

    @property
    def rss_bytes(self) -> int:
        """Memory of the process; 0 when there is none."""
        link = self._link
        return 0 if link is None else link.rss_bytes

    @property
    def stats(self) -> EngineStats | None:
        """The engine's own figures; None when it is not loaded, has just died or is too busy."""
        value = self._look("stats")
        return None if value is None else from_json(EngineStats, value)

    @property
    def memory_timeline(self) -> tuple[MemorySample, ...]:
        """See ``Engine.memory_timeline``; empty where ``stats`` is None."""
        return tuple(
            from_json(MemorySample, sample) for sample in self._look("memory_timeline") or []
        )

    def start(self) -> None:
        """Begin to load, if that has not begun, and do not wait for it."""
        self._live_link()

    def unload(self) -> None:
        """End the process and give its memory back; the next use loads again."""
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.close()

    def close(self) -> None:
        self.unload()

    def chat(
        self, messages: Sequence[Message], sampling: Sampling, context: Context
    ) -> Iterator[TokenReady | GenerationDone]:
        """See ``Engine.chat``."""
        arguments = {
            "messages": encode_messages(tuple(messages)),
            "sampling": encode_sampling(sampling),
        }
        yield from self._stream(context, "chat", arguments)

    def complete(
        self, prompt: str, sampling: Sampling, context: Context
    ) -> Iterator[TokenReady | GenerationDone]:
        """See ``Engine.complete``."""
        arguments = {"prompt": prompt, "sampling": encode_sampling(sampling)}
        yield from self._stream(context, "complete", arguments)

    def score(
        self, pairs: Sequence[tuple[str, str]], context: Context
    ) -> list[tuple[TokenLogprob, ...]]:
        """See ``Engine.score``."""
        with self._call(context, "score", {"pairs": list(pairs)}) as call:
            return [decode_logprobs(entry) for entry in call.next(context)["value"]]

    def count(self, text: str) -> int:
        """See ``Engine.count``; loads the model if need be."""
        context = Context()
        with self._call(context, "count", {"text": text}) as call:
            return int(call.next(context)["value"])

    def _look(self, op: str) -> Any:
        """What a running engine says of itself, without this counting as use; None where there is
        none, or it does not answer in time."""
        link = self._link
        call = link.call(op, {}, is_use=False) if link is not None and link.is_ready else None
        if link is None or call is None:
            return None
        try:
            context = Context(deadline=time.monotonic() + STATS_TIMEOUT_S)
            return call.next(context)["value"]
        except BanyanError:
            return None
        finally:
            link.hang_up(call, is_use=False)

    def _stream(
        self, context: Context, op: str, arguments: Json
    ) -> Iterator[TokenReady | GenerationDone]:
        with self._call(context, op, arguments) as call:
            while True:
                event = decode_event(call.next(context)["event"])
                yield event
                if isinstance(event, GenerationDone):
                    return

    @contextmanager
    def _call(self, context: Context, op: str, arguments: Json) -> Iterator[Call]:
        """A call to a loaded model, given up on leaving."""
        call = None
        while call is None:  # a process may end between being ready and being called
            context.check()
            link = self._live_link()
            link.wait_ready(context)
            call = link.call(op, arguments)
        try:
            yield call
        finally:
            link.hang_up(call)

    def _live_link(self) -> Calls:
        with self._lock:
            if self._link is None or self._link.has_failed:
                self._link = Link(self.path, self.config, idle_unload_s=self._idle_unload_s)
            return self._link
