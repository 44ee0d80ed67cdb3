"""A control connection: frames are handed on, silence is noticed, and it ends once."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.engine.cluster.toys import wait_until

from banyan.engine.cluster import control
from banyan.engine.cluster.control import DEAD_S, Conversation
from banyan.engine.cluster.frames import frame
from banyan.engine.wire import Channel, Json


class Ear:
    """A conversation whose other end is a plain channel, with a clock that the test moves."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.now = 0.0
        self.heard: list[Json] = []
        self.causes: list[str] = []
        self.slow = threading.Event()
        self.slow.set()
        self.other = Channel(theirs)
        self.conversation = Conversation(
            ours, self._hear, self.causes.append, clock=lambda: self.now
        )

    def _hear(self, message: Json) -> None:
        self.heard.append(message)
        self.slow.wait(10)
        if message["op"] == "bad":
            raise ValueError("this makes no sense")


@contextmanager
def listening() -> Iterator[Ear]:
    ear = Ear()
    try:
        yield ear
    finally:
        ear.slow.set()
        ear.conversation.close("The test is over.")
        ear.other.close()


@pytest.fixture
def ear() -> Iterator[Ear]:
    with listening() as found:
        found.conversation.run()
        yield found


def test_frames_are_handed_on_in_order_and_beats_are_sent(ear: Ear) -> None:
    for number in range(5):
        ear.other.send({"op": "x", "number": number})
    wait_until(lambda: len(ear.heard) == 5)
    assert [entry["number"] for entry in ear.heard] == list(range(5))
    assert next(iter(ear.other)) == frame("beat")


def test_silence_ends_it_and_says_for_how_long(ear: Ear) -> None:
    ear.other.send({"op": "x"})
    wait_until(lambda: ear.heard)
    ear.now = DEAD_S
    assert ear.causes == []
    ear.now = DEAD_S + 0.2
    wait_until(lambda: ear.causes)
    assert "has not answered for 3.2 s" in ear.causes[0]


def test_a_beat_breaks_the_silence(ear: Ear) -> None:
    for moment in range(1, 10):
        ear.now = float(moment)
        ear.other.send(frame("beat"))
        wait_until(lambda now=moment: len(ear.heard) == now)  # type: ignore[misc]  # a number
    assert ear.causes == []


def test_who_is_still_being_heard_is_not_silent(ear: Ear) -> None:
    ear.slow.clear()
    ear.other.send({"op": "x"})
    wait_until(lambda: ear.heard)
    ear.now = 100.0
    time.sleep(1.1)  # two beats
    assert ear.causes == []


def test_what_makes_no_sense_ends_it_with_the_reason(ear: Ear) -> None:
    ear.other.send({"op": "bad"})
    wait_until(lambda: ear.causes)
    assert "this makes no sense" in ear.causes[0]


def test_it_ends_once_with_the_first_cause(ear: Ear) -> None:
    ear.conversation.close("the first")
    ear.conversation.close("the second")
    ear.other.close()
    time.sleep(0.05)
    assert ear.causes == ["the first"]


def test_a_peer_that_reads_nothing_does_not_hold_up_who_sends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(control, "DEAD_S", 1.0)
    with listening() as ear:
        big = {"op": "x", "text": "y" * 900_000}
        began = time.monotonic()
        while not ear.causes and time.monotonic() - began < 15:
            ear.conversation.send(big)
        assert ear.causes == ["The connection broke."]
