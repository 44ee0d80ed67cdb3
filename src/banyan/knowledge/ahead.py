"""Reading ahead: an iterator runs in a thread of its own, a bounded number of items in front."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from banyan.core.context import Context

T = TypeVar("T")

_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None


class _Gone(Exception):
    """Nobody takes the items any more."""


class _Reader(Generic[T]):
    def __init__(self, depth: int) -> None:
        self.items: queue.Queue[T | _End] = queue.Queue(depth)
        self.stop = threading.Event()

    def run(self, produce: Callable[[Context], Iterator[T]], context: Context) -> None:
        error: BaseException | None = None
        try:
            for item in produce(context):
                self.put(item)
        except _Gone:
            return
        except BaseException as caught:  # it is raised where the items are taken
            error = caught
        try:
            self.put(_End(error))
        except _Gone:
            return

    def put(self, item: T | _End) -> None:
        while not self.stop.is_set():
            try:
                self.items.put(item, timeout=_POLL_S)
                return
            except queue.Full:
                continue
        raise _Gone


def ahead(
    produce: Callable[[Context], Iterator[T]], context: Context, *, depth: int
) -> Iterator[T]:
    """Yield what ``produce`` yields, made up to ``depth`` items early in another thread.

    ``produce`` gets a context that is cancelled when nobody takes its items any more, and its
    errors are raised here. The thread has ended when this iterator has.
    """
    reader: _Reader[T] = _Reader(depth)
    inner = replace(context, cancel=reader.stop)
    thread = threading.Thread(target=reader.run, args=(produce, inner), name="read ahead")
    thread.start()
    try:
        while True:
            context.check()
            try:
                item = reader.items.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        reader.stop.set()
        thread.join()
