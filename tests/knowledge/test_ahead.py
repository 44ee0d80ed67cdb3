from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from banyan.core.context import Context
from banyan.core.errors import Cancelled
from banyan.knowledge.ahead import ahead

PATIENCE_S = 10.0


def _numbers(count: int, context: Context) -> Iterator[int]:
    for number in range(count):
        context.check()
        yield number


def _threads() -> int:
    return sum(thread.name == "read ahead" for thread in threading.enumerate())


def test_everything_comes_in_order() -> None:
    found = list(ahead(lambda context: _numbers(500, context), Context(), depth=3))
    assert found == list(range(500))
    assert _threads() == 0


def test_items_are_made_early_but_only_so_many() -> None:
    made: list[int] = []

    def produce(context: Context) -> Iterator[int]:
        for number in _numbers(100, context):
            made.append(number)
            yield number

    items = ahead(produce, Context(), depth=4)
    assert next(items) == 0
    deadline = time.monotonic() + PATIENCE_S
    while len(made) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(made) == 6  # one taken, four waiting, one in hand
    assert list(items) == list(range(1, 100))


def test_an_error_is_raised_where_the_items_are_taken_after_those_before_it() -> None:
    def produce(context: Context) -> Iterator[int]:
        yield 1
        raise KeyError("broken")

    items = ahead(produce, Context(), depth=2)
    assert next(items) == 1
    with pytest.raises(KeyError, match="broken"):
        next(items)
    assert _threads() == 0


def _until_cancelled(context: Context) -> Iterator[int]:
    yield 0
    while True:
        context.check()
        time.sleep(0.01)


def test_leaving_early_cancels_the_producer() -> None:
    items = ahead(_until_cancelled, Context(), depth=2)
    next(items)
    items.close()  # type: ignore[attr-defined]  # a generator, said to be an iterator
    assert _threads() == 0


def test_cancelling_reaches_a_producer_that_is_waiting() -> None:
    context = Context()
    items = ahead(_until_cancelled, context, depth=2)
    next(items)
    threading.Timer(0.05, context.cancel.set).start()
    with pytest.raises(Cancelled):
        next(items)
    assert _threads() == 0
