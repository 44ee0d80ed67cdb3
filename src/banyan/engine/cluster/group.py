"""RunningGroup: what the head knows of the group that runs now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from banyan.engine.cluster.control import Clock
from banyan.engine.cluster.failure import MEET_S, Steps, Suspicion
from banyan.engine.cluster.frames import RankState
from banyan.engine.cluster.lobby import HEAD_NAME, Guest
from banyan.engine.cluster.ranks import LocalRanks
from banyan.engine.comm.roster import Member
from banyan.engine.comm.stream import Stream
from banyan.engine.formation import Formation


@dataclass(slots=True, eq=False, kw_only=True)
class RunningGroup:
    """``hosts`` are those of the roster, in order; None is the head's own. ``name`` tells it from
    other groups, where there are several. ``calls`` is the head's end of rank 0's calls, once rank
    0's host has made it and as long as nobody has taken it."""

    formation: Formation
    path: Path
    hosts: Sequence[Guest | None]
    local: LocalRanks
    steps: Steps
    suspicion: Suspicion
    clock: Clock
    name: str = ""
    moved: float = 0.0
    states: dict[int, RankState] = field(default_factory=dict)
    was_called: bool = False
    calls: Stream | None = None

    @property
    def id(self) -> str:
        return self.formation.roster.group_id

    @property
    def members(self) -> Sequence[Member]:
        return self.formation.roster.members

    def called(self, rank: int) -> str:
        """``Rank 3 on host attic``, ``Rank 3 of replica 1 on host attic``."""
        host = self.hosts[self.members[rank].host]
        part = f" of {self.name}" if self.name else ""
        return f"Rank {rank}{part} on host {HEAD_NAME if host is None else host.report.name}"

    @property
    def guests(self) -> list[Guest]:
        return [host for host in self.hosts if host is not None]

    def has(self, guest: Guest, rank: int) -> bool:
        """Whether ``rank`` is one of that guest's."""
        return any(member.rank == rank for member in self.of_host(guest))

    def of_host(self, host: Guest | None) -> list[Member]:
        return [member for member in self.members if self.hosts[member.host] is host]

    @property
    def is_ready(self) -> bool:
        """Whether all ranks have loaded their shares."""
        states = [self.states.get(member.rank) for member in self.members]
        return all(state is not None and state.state == "ready" for state in states)

    def verdict(self) -> str:
        """Why the group is to be given up, as far as time alone tells; empty while it is not."""
        for rank, progress in self.local.progress.items():
            self.steps.note(rank, progress)
        if self.suspicion.verdict:
            return self.suspicion.verdict
        stuck = [self.called(rank) for rank in self.steps.stuck]
        if not stuck:
            return self._unmet()
        what = f"A step has stood still for {self.steps.timeout_s:g} s."
        if len(stuck) == 1:
            return f"{what} {stuck[0]} hangs: all others wait for it."
        return f"{what} {', '.join(stuck)} wait for each other."

    def note(self, state: RankState) -> None:
        """A rank has come that far in its loading."""
        self.states[state.rank] = state
        self.moved = self.clock()

    def _unmet(self) -> str:
        """Why ranks that wait for each other after loading will wait for ever."""
        states = list(self.states.values())
        waiting = [state.rank for state in states if state.state == "measuring"]
        all_there = bool(waiting) and all(state.state in ("measuring", "ready") for state in states)
        if not all_there or self.clock() - self.moved <= MEET_S:
            return ""
        told = ", ".join(self.called(rank) for rank in waiting)
        return f"{told}: waiting in vain for the other ranks for {MEET_S:g} s."
