"""A lane of its own thread: in order, and what fails is told once, where it is waited for."""

from __future__ import annotations

import threading

import pytest
import torch

from banyan.core.errors import EngineFailed
from banyan.engine.stream.thread_lane import ThreadLane


@pytest.fixture
def lane():
    made = ThreadLane("a lane")
    yield made
    made.close()


def failing() -> None:
    raise OSError("the cause")


def test_work_is_done_in_order_and_a_mark_waits_for_it(lane):
    gate, done = threading.Event(), []
    lane.do(gate.wait)
    target = torch.zeros(2)
    lane.copy(target, torch.ones(2))
    lane.do(lambda: done.append(target.sum().item()))
    mark = lane.mark()
    assert done == []
    gate.set()
    mark.reach()
    assert done == [2.0]


def test_a_failure_is_told_at_the_next_mark_and_what_lies_between_is_left_out(lane):
    done = []
    lane.do(failing)
    lane.do(lambda: done.append(1))
    failed = lane.mark()
    lane.do(lambda: done.append(2))
    whole = lane.mark()
    for _ in range(2):
        with pytest.raises(OSError, match="the cause"):
            failed.reach()
    whole.reach()
    assert done == [2]


def test_a_lane_that_waits_for_another_fails_with_it(lane):
    other = ThreadLane("another lane")
    other.do(failing)
    lane.wait(other.mark())
    with pytest.raises(OSError, match="the cause"):
        lane.mark().reach()
    other.close()


def test_closing_does_what_was_asked_for_and_takes_no_more(lane):
    done = []
    lane.do(lambda: done.append(1))
    lane.close()
    assert done == [1]
    with pytest.raises(EngineFailed, match="closed"):
        lane.mark()
    lane.close()
