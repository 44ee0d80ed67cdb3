"""A context says when to stop, and what its caller may see."""

from __future__ import annotations

import time

import pytest

from banyan.core.context import Context, Principal
from banyan.core.errors import Cancelled, DeadlineExceeded


def test_a_fresh_context_lets_work_go_on() -> None:
    Context().check()


def test_a_set_cancel_event_stops_work() -> None:
    context = Context()
    context.cancel.set()
    with pytest.raises(Cancelled):
        context.check()


def test_a_passed_deadline_stops_work() -> None:
    with pytest.raises(DeadlineExceeded):
        Context(deadline=time.monotonic() - 1).check()


def test_a_principal_without_labels_sees_all_and_one_with_labels_only_those() -> None:
    assert Principal().may_see("secret")
    assert not Principal(labels=frozenset({"public"})).may_see("secret")
    assert not Principal(labels=frozenset()).may_see("public")


def test_a_trace_keeps_its_steps_in_order_with_their_time() -> None:
    trace = Context().trace
    trace.record("retrieve", time.perf_counter(), found=3)
    trace.record("rerank", time.perf_counter())
    assert [step.name for step in trace.steps] == ["retrieve", "rerank"]
    assert trace.steps[0].detail == {"found": 3}
    assert trace.steps[0].seconds >= 0
