"""What time alone tells of a group, by a clock that the tests move."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.cluster.test_failure import Clock, layout

from banyan.engine.cluster.failure import GRACE_S, MEET_S, Steps, Suspicion
from banyan.engine.cluster.frames import RankState
from banyan.engine.cluster.group import RunningGroup
from banyan.engine.cluster.ranks import LocalRanks
from banyan.engine.comm.roster import Member, Roster
from banyan.engine.config import EngineConfig
from banyan.engine.formation import Formation, ModelIdentity


class NoRanks(LocalRanks):
    def __init__(self) -> None:
        super().__init__([], "127.0.0.1", lambda state: None)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def group(clock: Clock) -> RunningGroup:
    """Three ranks of the head."""
    members = tuple(Member(rank=rank, host=0, address="127.0.0.1", port=1) for rank in range(3))
    formation = Formation(
        roster=Roster(group_id="g", key="00", members=members),
        layout=layout((0, 1, 2)),
        model=ModelIdentity(name="toy", digest="0", size_bytes=1),
        config=EngineConfig(),
    )
    return RunningGroup(
        formation=formation,
        path=Path("toy"),
        hosts=[None],
        local=NoRanks(),
        steps=Steps(formation.layout, 60.0, clock),
        suspicion=Suspicion(clock),
        clock=clock,
    )


def tell(group: RunningGroup, *states: str) -> None:
    for rank, state in enumerate(states, start=1):
        group.note(RankState(rank=rank, state=state))


def test_ranks_that_load_may_take_their_time(group: RunningGroup, clock: Clock) -> None:
    tell(group, "measuring", "loading")
    clock.now += 100 * MEET_S
    assert group.verdict() == ""


def test_ranks_that_wait_for_ever_after_loading_are_named(
    group: RunningGroup, clock: Clock
) -> None:
    tell(group, "ready", "measuring")
    clock.now += MEET_S
    assert group.verdict() == ""
    clock.now += 1
    assert group.verdict().startswith("Rank 2 on host head: waiting in vain")


def test_a_ready_group_may_idle(group: RunningGroup, clock: Clock) -> None:
    tell(group, "ready", "ready")
    clock.now += 100 * MEET_S
    assert group.verdict() == ""


def test_a_symptom_becomes_the_verdict_in_time(group: RunningGroup, clock: Clock) -> None:
    group.suspicion.note("Rank 1 lost rank 2")
    assert group.verdict() == ""
    clock.now += GRACE_S
    assert group.verdict() == "Rank 1 lost rank 2"
