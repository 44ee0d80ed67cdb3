"""Where synchronous work runs: a bounded set of threads, awaited from the event loop.

Everything below the server is synchronous. ``Pool.call`` awaits one function; ``Stream`` reads a
generator that runs on one thread from its first item to its last (so that what it holds, such as a
database connection, stays with its thread). Threads are daemons: one that never comes back cannot
hold up the end of the process.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from banyan.core.context import Context
from banyan.core.errors import (
    BanyanError,
    Cancelled,
    DeadlineExceeded,
    InternalError,
    Overloaded,
    ShuttingDown,
)

Item = TypeVar("Item")
Result = TypeVar("Result")

BUFFERED_ITEMS = 4096
"""Items a stream holds for a slow reader; an ordinary answer fits, so its thread is soon free."""

DEADLINE_GRACE_S = 1.0
"""Time past its deadline that work has to notice it by itself."""

_log = logging.getLogger(__name__)


class Pool:
    """At most ``threads`` jobs run and ``waiting`` wait; one more raises ``Overloaded``."""

    def __init__(self, *, threads: int, waiting: int, limit: str) -> None:
        self._threads = threads
        self._waiting = waiting
        self._limit = limit
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._pending = 0
        self._started = 0
        self._streams: set[_Stoppable] = set()

    @property
    def pending(self) -> int:
        """Jobs that run or wait."""
        return self._pending

    def submit(self, job: Callable[[], None]) -> None:
        """Run ``job``, which must not raise, on a thread of the pool."""
        with self._lock:
            if self._pending >= self._threads + self._waiting:
                raise Overloaded(
                    f"{self._pending} requests are in work already ({self._limit}).",
                    remedy="Try again in a moment.",
                )
            self._pending += 1
            if self._started < min(self._threads, self._pending):
                self._started += 1
                threading.Thread(target=self._work, name=self._limit, daemon=True).start()
        self._jobs.put(job)

    async def call(self, function: Callable[[], Result]) -> Result:
        """Await ``function()``; it is skipped if the awaiting task ends before it begins."""
        outcome: concurrent.futures.Future[Result] = concurrent.futures.Future()

        def job() -> None:
            if not outcome.set_running_or_notify_cancel():
                return
            try:
                outcome.set_result(function())
            except Exception as error:
                outcome.set_exception(error)

        self.submit(job)
        return await asyncio.wrap_future(outcome)

    def stop(self) -> None:
        """End every stream with ``ShuttingDown`` and let idle threads go; call it on the loop."""
        for stream in list(self._streams):
            stream.fail(ShuttingDown("The server is stopping.", remedy="Ask again later."))
        for _ in range(self._started):
            self._jobs.put(None)

    def attach(self, stream: _Stoppable) -> None:
        """Let ``stop`` end this stream."""
        self._streams.add(stream)

    def detach(self, stream: _Stoppable) -> None:
        self._streams.discard(stream)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            finally:
                del job
                with self._lock:
                    self._pending -= 1


class _Stoppable(Protocol):
    """What a pool needs of a stream in order to end it."""

    def fail(self, error: BanyanError) -> None: ...


@dataclass(frozen=True, slots=True)
class _End:
    error: Exception | None


class Stream(Generic[Item]):
    """A generator on a pool's thread, as an asynchronous iterator of its items.

    Made and read on the event loop. ``fail`` ends it at once for the reader and sets
    ``context.cancel``, so that the generator ends within its next step. An exception that is no
    ``BanyanError`` is logged and becomes ``InternalError``.
    """

    def __init__(self, source: Callable[[], Iterator[Item]], context: Context, pool: Pool) -> None:
        self._source = source
        self._context = context
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Item | _End] = asyncio.Queue()
        self._room = threading.Semaphore(BUFFERED_ITEMS)
        self._failure: BanyanError | None = None
        pool.submit(self._run)
        pool.attach(self)

    def fail(self, error: BanyanError) -> None:
        """End the stream with ``error``; items not yet read are dropped."""
        if self._failure is None:
            self._failure = error
            self._context.cancel.set()
            self._queue.put_nowait(_End(error))

    def leave(self) -> None:
        """End the stream because nobody reads it any more."""
        self._pool.detach(self)
        self.fail(Cancelled("The client has left."))

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
        item = await self._take()
        if self._failure is not None:
            raise self._failure
        if isinstance(item, _End):
            self._pool.detach(self)
            self._queue.put_nowait(item)
            if item.error is not None:
                raise item.error
            raise StopAsyncIteration
        self._room.release()
        return item

    async def _take(self) -> Item | _End:
        deadline = self._context.deadline
        if deadline is None:
            return await self._queue.get()
        patience = max(0.0, deadline - time.monotonic()) + DEADLINE_GRACE_S
        try:
            return await asyncio.wait_for(self._queue.get(), patience)
        except TimeoutError:
            error = DeadlineExceeded("The request ran past its deadline.")
            self.fail(error)
            return _End(error)

    def _run(self) -> None:
        end: _End = _End(None)
        items: Iterator[Item] | None = None
        try:
            self._context.check()
            items = self._source()
            for item in items:
                while not self._room.acquire(timeout=0.1):
                    self._context.check()
                self._context.check()
                self._post(item)
        except BanyanError as error:
            end = _End(error)
        except Exception:
            _log.exception("A request failed unexpectedly.")
            end = _End(
                InternalError("Something went wrong inside Banyan.", remedy="See the server's log.")
            )
        finally:
            if isinstance(items, Generator):
                items.close()
            self._post(end)

    def _post(self, item: Item | _End) -> None:
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)
        except RuntimeError:  # the loop is closed: the server has ended
            self._context.cancel.set()
