"""Replicas: the engine of a cluster: one model, answered by whichever replica has least to do.

A thread waits for the hosts, deals their ranks, and lets every replica form its group; each then
lives by itself (``process.py``). One that is lost is passed over until it is back, and only its own
requests end with the cause: they are not tried elsewhere, for what killed one replica might kill
the next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from banyan.core.cluster import ClusterStatus, LinkStats, ReplicaStatus
from banyan.core.context import Context
from banyan.core.errors import BanyanError, Cancelled, ClusterDown, ClusterError
from banyan.core.events import GenerationDone, TokenReady
from banyan.core.types import Message, Sampling, TokenLogprob
from banyan.engine.cluster.head import Head
from banyan.engine.cluster.process import AGAIN_S, LOOK_S, RETRY, ClusterProcess
from banyan.engine.cluster.replica import Replica
from banyan.engine.cluster.routing import Routing, Work, work_of
from banyan.engine.config import EngineConfig
from banyan.engine.stats import EngineStats

Events = Iterator[TokenReady | GenerationDone]


class Replicas:
    """A ``ChatModel``, ``TextModel``, ``TextScorer`` and ``TokenCounter``; thread-safe."""

    def __init__(
        self,
        path: Path,
        name: str,
        config: EngineConfig,
        head: Head,
        on_event: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Nothing begins before ``start``; ``on_event`` is told, for a person, what becomes of the
        replicas."""
        self.path = path
        self._name = name
        self._config = config
        self._head = head
        self._on_event = on_event
        self._ending = Context()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._trouble: BanyanError | None = None
        self._dealt = threading.Event()
        self._engines: tuple[ClusterProcess, ...] = ()
        self._routing = Routing(())

    @property
    def state(self) -> Literal["installed", "loading", "ready"]:
        """Ready as soon as one replica is."""
        return "ready" if self._up else "loading"

    @property
    def stats(self) -> EngineStats | None:
        """Sums over the replicas that run; what is not summed is the first one's."""
        found = [stats for engine in self._engines if (stats := engine.stats) is not None]
        return _added(found) if found else None

    def status(self) -> ClusterStatus:
        """Who is here, how they are, and what the engines have measured."""
        engines = self._engines  # before the replicas are looked at, which are there first
        found = self._head.status()
        stats = [engine.stats for engine in engines] or [None] * len(found.replicas)
        pairs = list(zip(found.replicas, stats, strict=True))
        told = replace(
            found,
            replicas=tuple(self._told(number, *pair) for number, pair in enumerate(pairs)),
            links=_links(pairs),
            choices=next((one.choices for one in stats if one and one.choices), ()),
        )
        running = [one for one in stats if one]
        if not running:
            return told
        total = _added(running)
        return replace(
            told,
            prefill_tokens_per_s=total.prefill_tokens_per_s,
            decode_tokens_per_s=total.decode_tokens_per_s,
            prefilled_tokens=total.prefilled_tokens,
            decoded_tokens=total.decoded_tokens,
            running=total.running,
            waiting=total.waiting,
        )

    def start(self) -> None:
        """Begin to wait for the hosts, if that has not begun."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._deal, name="replicas", daemon=True)
                self._thread.start()

    def wait_ready(self, context: Context) -> None:
        """Wait until every replica runs. Raises what ``context.check`` raises, and what keeps one
        from running."""
        self.start()
        while not self._dealt.wait(LOOK_S):
            context.check()
            if self._trouble is not None:
                raise self._trouble
        for engine in self._engines:
            engine.wait_ready(context)

    def blame(self, error: BanyanError) -> None:
        """A host that is awaited will not come: ``wait_ready`` raises why."""
        self._trouble = error

    def close(self) -> None:
        """End the replicas and the head."""
        self._ending.cancel.set()
        self._head.close()
        if self._thread is not None:
            self._thread.join()
        for engine in self._engines:
            engine.close()

    def chat(self, messages: Sequence[Message], sampling: Sampling, context: Context) -> Events:
        """See ``Engine.chat``."""
        size = sum(len(message.content.encode()) for message in messages)
        work = work_of(size, sampling.max_tokens)
        with self._engine(work) as engine:
            for event in engine.chat(messages, sampling, context):
                work.move()
                yield event

    def complete(self, prompt: str, sampling: Sampling, context: Context) -> Events:
        """See ``Engine.complete``."""
        work = work_of(len(prompt.encode()), sampling.max_tokens)
        with self._engine(work) as engine:
            for event in engine.complete(prompt, sampling, context):
                work.move()
                yield event

    def score(
        self, pairs: Sequence[tuple[str, str]], context: Context
    ) -> list[tuple[TokenLogprob, ...]]:
        """See ``Engine.score``; one replica reads all pairs, for they often share a prefix."""
        size = sum(len(text.encode()) for pair in pairs for text in pair)
        with self._engine(work_of(size, 0)) as engine:
            return engine.score(pairs, context)

    def count(self, text: str) -> int:
        """See ``Engine.count``."""
        with self._engine(Work(prompt=1, answer=0)) as engine:
            return engine.count(text)

    @contextmanager
    def _engine(self, work: Work) -> Iterator[ClusterProcess]:
        """The one with least to do of those that run; where none does, one that says why."""
        self.start()
        engines = self._engines
        if not engines:
            raise self._down()
        with self._routing.route(work, self._up or range(len(engines))) as number:
            yield engines[number]

    @property
    def _up(self) -> list[int]:
        engines = self._engines
        return [number for number, engine in enumerate(engines) if engine.state == "ready"]

    def _deal(self) -> None:
        while not self._ending.cancel.is_set():
            try:
                replicas = self._head.deal(self.path, self._config, self._ending)
            except Cancelled:
                return
            except BanyanError as error:
                self._postpone(error)
            except (OSError, ValueError, ArithmeticError) as error:
                self._postpone(ClusterError(f"The ranks cannot be dealt: {error}."))
            else:
                self._begin(replicas)
                return

    def _postpone(self, error: BanyanError) -> None:
        """The ranks could not be dealt, for that reason; a host that has gone is awaited."""
        awaited = self._head.awaited
        told, self._trouble = str(self._trouble or ""), None if awaited else error
        if not self._ending.cancel.is_set() and str(error) != told:  # once, not at each attempt
            self._on_event(f"The cluster is down. {error} {awaited}".strip())
        self._ending.cancel.wait(AGAIN_S)

    def _begin(self, replicas: Sequence[Replica]) -> None:
        self._trouble = None
        self._routing = Routing([replica.speed for replica in replicas])
        self._engines = tuple(
            ClusterProcess(self.path, self._config, each, name=self._name, on_event=self._on_event)
            for each in replicas
        )
        for engine in self._engines:
            engine.start()
        self._dealt.set()

    def _down(self) -> ClusterDown:
        trouble = "" if self._trouble is None else str(self._trouble)
        cause = f"{trouble} {self._head.awaited}".strip()
        return ClusterDown(f"The cluster is not ready. {cause or 'It is forming.'}", remedy=RETRY)

    def _told(self, number: int, found: ReplicaStatus, stats: EngineStats | None) -> ReplicaStatus:
        if stats is None:
            return found
        return replace(
            found,
            running=stats.running,
            waiting=stats.waiting,
            outstanding_tokens=self._routing.outstanding(number),
            prefill_tokens_per_s=stats.prefill_tokens_per_s,
            decode_tokens_per_s=stats.decode_tokens_per_s,
        )


def _links(pairs: Sequence[tuple[ReplicaStatus, EngineStats | None]]) -> tuple[LinkStats, ...]:
    """What the engines have measured, by the numbers that all hosts have."""
    found: dict[tuple[int, ...], LinkStats] = {}
    for replica, stats in pairs:
        for link in stats.links if stats and replica.hosts else ():
            hosts = tuple(replica.hosts[host] for host in link.hosts)
            found[hosts] = replace(link, hosts=hosts)
    return tuple(found.values())


def _added(found: Sequence[EngineStats]) -> EngineStats:
    return replace(
        found[0],
        prefill_tokens_per_s=sum(each.prefill_tokens_per_s for each in found),
        decode_tokens_per_s=sum(each.decode_tokens_per_s for each in found),
        prefilled_tokens=sum(each.prefilled_tokens for each in found),
        decoded_tokens=sum(each.decoded_tokens for each in found),
        running=sum(each.running for each in found),
        waiting=sum(each.waiting for each in found),
        pages_free=sum(each.pages_free for each in found),
        pages_total=sum(each.pages_total for each in found),
        weights_bytes=sum(each.weights_bytes for each in found),
        kv_cache_bytes=sum(each.kv_cache_bytes for each in found),
    )
