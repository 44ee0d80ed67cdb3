"""ThreadLane: a processor's lane whose work is done by a thread of its own, in order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue

from torch import Tensor

from banyan.core.errors import EngineFailed
from banyan.engine.stream.lanes import AtOnce, Lanes, Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class _Passing(Mark):
    """A mark of a thread. Reaching it raises what the work before it raised."""

    is_passed: threading.Event = field(default_factory=threading.Event)
    failures: list[Exception] = field(default_factory=list)

    def reach(self) -> None:
        self.is_passed.wait()
        if self.failures:
            raise self.failures[0]


class ThreadLane:
    """A ``Lane``. When work fails, the mark behind it says so, and what lies between is left out;
    what is asked for after the mark is done again."""

    def __init__(self, name: str) -> None:
        self._queue: SimpleQueue[Callable[[], object] | _Passing | None] = SimpleQueue()
        self._is_closed = False
        self._asking = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], object]) -> None:
        self._put(work)

    def copy(self, target: Tensor, source: Tensor) -> None:
        self._put(partial(target.copy_, source))

    def wait(self, mark: Mark) -> None:
        self._put(mark.reach)

    def mark(self) -> Mark:
        passing = _Passing()
        self._put(passing)
        return passing

    def close(self) -> None:
        """End the thread after what it was asked for; of no effect the second time."""
        with self._asking:
            if not self._is_closed:
                self._is_closed = True
                self._queue.put(None)
        self._thread.join()

    def _put(self, work: Callable[[], object] | _Passing) -> None:
        with self._asking:
            if self._is_closed:
                raise EngineFailed("Keys and values are not moved any more: the engine is closed.")
            self._queue.put(work)

    def _run(self) -> None:
        failure: Exception | None = None
        while (work := self._queue.get()) is not None:
            if isinstance(work, _Passing):
                if failure is not None:
                    work.failures.append(failure)
                failure = None
                work.is_passed.set()
            elif failure is None:
                try:
                    work()
                except Exception as error:  # whatever it is, who waits for the mark is told
                    failure = error


def threads() -> Lanes:
    """A processor's lanes for what does not come from memory."""
    return Lanes(compute=AtOnce(), inward=ThreadLane("kv reader"), outward=ThreadLane("kv writer"))
