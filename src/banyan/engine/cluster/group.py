"""RunningGroup: what the head knows of the group that runs now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from banyan.core.cluster import HostStatus, RankStatus
from banyan.core.layout import Facts
from banyan.engine.cluster.control import Clock
from banyan.engine.cluster.failure import MEET_S, Steps, Suspicion
from banyan.engine.cluster.frames import HostReport, RankState, RankVitals
from banyan.engine.cluster.lobby import HEAD_NAME, Guest
from banyan.engine.cluster.ranks import LocalRanks
from banyan.engine.comm.roster import Member
from banyan.engine.formation import Formation
from banyan.plan.matrices import WeightKind


@dataclass(slots=True, eq=False, kw_only=True)
class RunningGroup:
    """``guests`` are its hosts from 1 on; ``facts`` what its layout was chosen by, for weights of
    ``kind``."""

    formation: Formation
    path: Path
    guests: Sequence[Guest]
    local: LocalRanks
    steps: Steps
    suspicion: Suspicion
    clock: Clock
    facts: Facts
    kind: WeightKind
    moved: float = 0.0
    states: dict[int, RankState] = field(default_factory=dict)
    lead_rss: Callable[[], int] = lambda: 0

    @property
    def id(self) -> str:
        return self.formation.roster.group_id

    @property
    def members(self) -> Sequence[Member]:
        return self.formation.roster.members

    def called(self, rank: int) -> str:
        """``Rank 3 on host attic``."""
        number = self.members[rank].host
        return f"Rank {rank} on host {self.guests[number - 1].report.name if number else HEAD_NAME}"

    def has(self, guest: Guest, rank: int) -> bool:
        """Whether ``rank`` is one of that guest's."""
        return any(member.rank == rank for member in self.of_host(guest.number))

    def of_host(self, number: int) -> list[Member]:
        return [member for member in self.members if member.host == number]

    def are_ready(self, first: int) -> bool:
        """Whether all ranks from ``first`` on have loaded their shares."""
        states = [self.states.get(member.rank) for member in self.members[first:]]
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
        states = [state for rank, state in self.states.items() if rank]
        waiting = [state.rank for state in states if state.state == "measuring"]
        all_there = bool(waiting) and all(state.state in ("measuring", "ready") for state in states)
        if not all_there or self.clock() - self.moved <= MEET_S:
            return ""
        told = ", ".join(self.called(rank) for rank in waiting)
        return f"{told}: waiting in vain for the other ranks for {MEET_S:g} s."


def own_status(report: HostReport, address: str, group: RunningGroup | None) -> HostStatus:
    """The head's own host; rank 0's process belongs to somebody else, who says what it holds."""
    vitals = () if group is None else group.local.vitals
    if group is not None and not any(one.rank == 0 for one in vitals):
        vitals = (RankVitals(rank=0, rss_bytes=group.lead_rss()), *vitals)
    found = _status(report, address, 0, group, vitals)
    return replace(found, memory_used_bytes=int(psutil.virtual_memory().used))


def guest_status(guest: Guest, group: RunningGroup | None) -> HostStatus:
    belongs = group if group is not None and guest in group.guests else None
    found = _status(guest.report, guest.address, guest.number, belongs, guest.beat.ranks)
    silence_s = guest.conversation.silence_s
    return replace(found, memory_used_bytes=guest.beat.memory_used_bytes, silence_s=silence_s)


def _status(
    report: HostReport,
    address: str,
    number: int,
    group: RunningGroup | None,
    vitals: Sequence[RankVitals],
) -> HostStatus:
    held = {one.rank: one.rss_bytes for one in vitals}
    ranks = (
        [
            RankStatus(
                rank=member.rank,
                state=state.state if (state := group.states.get(member.rank)) else "",
                device=member.device,
                rss_bytes=held.get(member.rank, 0),
                share=group.formation.layout.share(member.rank),
                pid=state.pid if state else 0,
            )
            for member in group.of_host(number)
        ]
        if group is not None
        else []
    )
    return HostStatus(
        name=report.name,
        address=address,
        cores=report.cores,
        memory_bytes=report.memory_bytes,
        memory_used_bytes=0,
        silence_s=0.0,
        ranks=tuple(ranks),
    )
