"""Synchronous work on bounded threads: order, errors, cancelling, slow readers, the end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banyan.core.context import Context
from banyan.core.errors import (
    Cancelled,
    DeadlineExceeded,
    InternalError,
    Overloaded,
    ShuttingDown,
    UnknownBase,
)
from banyan.server import pool as pool_module
from banyan.server.pool import Pool, Stream

Test = Callable[[], Coroutine[Any, Any, None]]


def _pool(threads: int = 2, waiting: int = 0) -> Pool:
    return Pool(threads=threads, waiting=waiting, limit="max_streams = 2")


def _run(test: Test) -> None:
    asyncio.run(asyncio.wait_for(test(), 10))


def _endless(context: Context, ended: threading.Event) -> Iterator[int]:
    try:
        number = 0
        while True:
            context.check()
            yield number
            number += 1
    finally:
        ended.set()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(), max_size=200))
def test_a_stream_gives_the_generators_items_in_order(items: list[int]) -> None:
    async def test() -> None:
        pool = _pool()
        stream = Stream(lambda: iter(items), Context(), pool)
        assert [item async for item in stream] == items
        pool.stop()

    _run(test)


def test_a_generator_stays_on_one_thread() -> None:
    def work() -> Iterator[int]:
        for _ in range(50):
            yield threading.get_ident()

    async def test() -> None:
        idents = {item async for item in Stream(work, Context(), _pool())}
        assert len(idents) == 1
        assert idents != {threading.get_ident()}

    _run(test)


def test_an_error_of_ours_arrives_after_the_items_before_it() -> None:
    def work() -> Iterator[int]:
        yield 1
        raise UnknownBase("no such base")

    async def test() -> None:
        stream = Stream(work, Context(), _pool())
        assert await anext(stream) == 1
        with pytest.raises(UnknownBase):
            await anext(stream)

    _run(test)


def test_an_unexpected_error_is_logged_and_hidden(caplog: pytest.LogCaptureFixture) -> None:
    def work() -> Iterator[int]:
        yield 1 // 0

    async def test() -> None:
        with pytest.raises(InternalError):
            await anext(Stream(work, Context(), _pool()))

    _run(test)
    assert "ZeroDivisionError" in caplog.text


def test_leaving_cancels_the_context_and_closes_the_generator_within_a_step() -> None:
    async def test() -> None:
        context, ended, pool = Context(), threading.Event(), _pool()
        stream = Stream(lambda: _endless(context, ended), context, pool)
        assert await anext(stream) == 0
        stream.leave()
        assert context.cancel.is_set()
        assert await asyncio.to_thread(ended.wait, 1)
        with pytest.raises(Cancelled):
            await anext(stream)
        await _until(lambda: pool.pending == 0)

    _run(test)


def test_a_slow_reader_holds_up_its_generator_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_module, "BUFFERED_ITEMS", 10)
    produced: list[int] = []

    def work(context: Context) -> Iterator[int]:
        for number in range(1000):
            context.check()
            produced.append(number)
            yield number

    async def test() -> None:
        context, pool = Context(), _pool()
        slow = Stream(lambda: work(context), context, pool)
        await asyncio.sleep(0.2)
        assert len(produced) == 11
        quick = Stream(lambda: iter(range(5)), Context(), pool)
        assert [item async for item in quick] == list(range(5))
        assert [item async for item in slow] == list(range(1000))

    _run(test)


def test_one_job_too_many_is_refused_and_there_is_room_again_later() -> None:
    async def test() -> None:
        pool, ended = _pool(), threading.Event()
        contexts = [Context(), Context()]
        streams = [Stream(lambda c=c: _endless(c, ended), c, pool) for c in contexts]
        with pytest.raises(Overloaded, match="max_streams = 2"):
            Stream(lambda: iter([1]), Context(), pool)
        streams[0].leave()
        await _until(lambda: pool.pending == 1)
        assert [item async for item in Stream(lambda: iter([1]), Context(), pool)] == [1]
        streams[1].leave()

    _run(test)


def test_calls_wait_their_turn() -> None:
    async def test() -> None:
        pool = _pool(threads=1, waiting=20)
        results = await asyncio.gather(*(pool.call(lambda n=n: n * n) for n in range(20)))
        assert results == [n * n for n in range(20)]

    _run(test)


def test_a_call_nobody_waits_for_any_more_never_begins() -> None:
    async def test() -> None:
        pool, go, ran = _pool(threads=1, waiting=5), threading.Event(), threading.Event()
        blocking = asyncio.ensure_future(pool.call(lambda: go.wait(5)))
        queued = asyncio.ensure_future(pool.call(ran.set))
        await asyncio.sleep(0.05)
        queued.cancel()
        await asyncio.sleep(0)
        go.set()
        await blocking
        assert await pool.call(lambda: 1) == 1
        assert not ran.is_set()

    _run(test)


def test_work_that_ignores_its_deadline_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "DEADLINE_GRACE_S", 0.0)
    go = threading.Event()

    def work() -> Iterator[int]:
        go.wait(5)
        yield 1

    async def test() -> None:
        context = Context(deadline=time.monotonic() + 0.1)
        with pytest.raises(DeadlineExceeded):
            await anext(Stream(work, context, _pool()))
        assert context.cancel.is_set()
        go.set()

    _run(test)


def test_stopping_ends_every_stream_even_one_that_is_stuck() -> None:
    go = threading.Event()

    def stuck() -> Iterator[int]:
        go.wait(5)
        yield 1

    async def test() -> None:
        pool, context, ended = _pool(), Context(), threading.Event()
        streams = [
            Stream(stuck, Context(), pool),
            Stream(lambda: _endless(context, ended), context, pool),
        ]
        assert await anext(streams[1]) == 0
        pool.stop()
        for stream in streams:
            with pytest.raises(ShuttingDown):
                while True:
                    await anext(stream)
        assert ended.wait(1)
        go.set()

    _run(test)


def test_a_thread_that_outlives_the_loop_ends_quietly() -> None:
    context, go, ended = Context(), threading.Event(), threading.Event()

    def work() -> Iterator[int]:
        try:
            yield 1
            go.wait(5)
            while True:
                context.check()
                yield 2
        finally:
            ended.set()

    async def test() -> None:
        assert await anext(Stream(work, context, _pool())) == 1

    _run(test)
    go.set()
    assert ended.wait(2)


async def _until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.01)
