"""Who is to blame: told by a clock that the tests move."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banyan.core.layout import Interval, Layout, Share, Stage
from banyan.engine.cluster.failure import GRACE_S, Steps, Suspicion
from banyan.engine.pulse import Progress, Pulse

LIMIT_S = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def layout(*stages: tuple[int, ...]) -> Layout:
    share = Share(
        layers=Interval(0, 1),
        heads=Interval(0, 1),
        kv_heads=(0,),
        ffn=Interval(0, 1),
        vocab=Interval(0, 1),
    )
    return Layout(stages=tuple(Stage(ranks=r, shares=(share,) * len(r)) for r in stages))


def at(begun: int, done: int, moves: int = 0) -> Progress:
    return Progress(begun=begun, done=done, moves=moves)


def test_a_symptom_waits_for_its_cause_and_counts_when_none_comes() -> None:
    clock = Clock()
    suspicion = Suspicion(clock)
    assert suspicion.verdict == ""
    suspicion.note("rank 0 lost rank 2")
    clock.now += GRACE_S / 2
    suspicion.note("rank 1 lost rank 0")
    assert suspicion.verdict == ""
    clock.now += GRACE_S / 2
    assert suspicion.verdict == "rank 0 lost rank 2"


def test_an_idle_group_is_never_stuck() -> None:
    clock = Clock()
    steps = Steps(layout((0, 1)), LIMIT_S, clock)
    for rank in (0, 1):
        steps.note(rank, at(7, 7, 90))
    clock.now += 100 * LIMIT_S
    assert steps.stuck == ()


def test_a_slow_step_is_not_a_stuck_one() -> None:
    clock = Clock()
    steps = Steps(layout((0, 1)), LIMIT_S, clock)
    for moves in range(50):
        steps.note(0, at(1, 0, moves))
        clock.now += LIMIT_S / 2
        assert steps.stuck == ()


@pytest.mark.parametrize(
    ("stages", "progress", "hung"),
    [
        pytest.param([(0, 1, 2)], [at(4, 3, 12), at(4, 3, 11), at(4, 3, 12)], [1], id="in-layer"),
        pytest.param([(0, 1)], [at(4, 3, 9), at(3, 3, 8)], [1], id="between-steps"),
        pytest.param([(0, 1)], [at(4, 3, 9), at(4, 3, 9)], [0, 1], id="on-each-other"),
        pytest.param([(0,), (1,)], [at(4, 3), at(4, 3)], [0], id="first-stage"),
        pytest.param([(0,), (1,)], [at(4, 4), at(4, 3)], [1], id="second-stage"),
        pytest.param([(1,), (0,)], [at(4, 3), at(4, 3)], [1], id="stages-in-another-order"),
    ],
)
def test_the_rank_furthest_behind_is_the_one_that_hangs(
    stages: list[tuple[int, ...]], progress: list[Progress], hung: list[int]
) -> None:
    clock = Clock()
    steps = Steps(layout(*stages), LIMIT_S, clock)
    for rank, one in enumerate(progress):
        steps.note(rank, one)
    clock.now += LIMIT_S
    assert steps.stuck == ()
    clock.now += 0.1
    assert list(steps.stuck) == hung


@given(st.lists(st.sampled_from(["begin", "move", "finish"]), max_size=60))
def test_a_pulse_tells_what_it_was_told(moves: list[str]) -> None:
    pulse, begun, done = Pulse(), 0, 0
    for move in moves:
        if move == "finish" and done == begun:
            continue
        getattr(pulse, move)()
        begun += move == "begin"
        done += move == "finish"
    assert pulse.progress == at(begun, done, moves.count("move"))


@pytest.mark.parametrize("wrong", [(1, 2, 0), (-1, -1, 0), (1, 1, -1)])
def test_impossible_progress_is_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError):
        at(*wrong)
