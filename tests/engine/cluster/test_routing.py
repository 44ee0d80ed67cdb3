"""A request goes where it will be done first."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banyan.engine.cluster.routing import LIKELY_ANSWER, Routing, Work, work_of


def test_requests_alike_are_spread_evenly_over_replicas_alike() -> None:
    routing = Routing([1.0, 1.0, 1.0])
    with ExitStack() as under_way:
        went = [under_way.enter_context(routing.route(Work(10, 20), range(3))) for _ in range(9)]
        assert [went.count(number) for number in range(3)] == [3, 3, 3]
        assert [routing.outstanding(number) for number in range(3)] == [90, 90, 90]
    assert [routing.outstanding(number) for number in range(3)] == [0, 0, 0]


def test_one_long_request_weighs_as_much_as_many_short_ones() -> None:
    routing = Routing([1.0, 1.0])
    with ExitStack() as under_way:
        assert under_way.enter_context(routing.route(Work(1000, 200), [0, 1])) == 0
        short = [under_way.enter_context(routing.route(Work(50, 50), [0, 1])) for _ in range(8)]
        assert short == [1] * 8


def test_a_replica_twice_as_fast_gets_twice_as_many() -> None:
    routing = Routing([2.0, 1.0])
    with ExitStack() as under_way:
        went = [under_way.enter_context(routing.route(Work(1, 99), [0, 1])) for _ in range(30)]
    assert went.count(0) == 20


def test_what_has_been_written_is_not_outstanding_any_more() -> None:
    routing, work = Routing([1.0, 1.0]), Work(100, 10)
    with routing.route(work, [0, 1]):
        assert routing.outstanding(0) == 110
        work.move()
        assert routing.outstanding(0) == 9
        for _ in range(50):  # longer than was expected
            work.move()
        assert routing.outstanding(0) == 0


def test_a_replica_that_is_not_among_the_running_ones_gets_nothing() -> None:
    routing = Routing([1.0, 1.0])
    with routing.route(Work(1000, 0), [1]) as first, routing.route(Work(1000, 0), [1]) as second:
        assert (first, second) == (1, 1)


def test_a_request_that_fails_is_not_outstanding_any_more() -> None:
    routing = Routing([1.0])
    with pytest.raises(OSError, match="broken"), routing.route(Work(1, 1), [0]):
        raise OSError("broken")
    assert routing.outstanding(0) == 0


@pytest.mark.parametrize(
    ("size", "max_tokens", "left"),
    [(0, 0, 0), (1, 0, 1), (400, 50, 150), (0, None, LIKELY_ANSWER), (0, 10**6, LIKELY_ANSWER)],
)
def test_work_is_taken_for_its_length(size: int, max_tokens: int | None, left: int) -> None:
    assert work_of(size, max_tokens).left == left


@given(sizes=st.lists(st.integers(1, 1000), min_size=1, max_size=40), replicas=st.integers(1, 6))
def test_no_replica_is_ahead_of_another_by_more_than_one_request(
    sizes: list[int], replicas: int
) -> None:
    routing = Routing([1.0] * replicas)
    with ExitStack() as under_way:
        for size in sizes:
            under_way.enter_context(routing.route(Work(size, 0), range(replicas)))
        left = [routing.outstanding(number) for number in range(replicas)]
        assert max(left) - min(left) <= max(sizes)
