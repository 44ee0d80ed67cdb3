"""Replica: one copy of the model on the ranks it was dealt, as the head sees it.

    form      waits for its hosts, asks each for listeners, tells all the formation
    fail      ends every rank everywhere, and keeps the first cause

``process.py`` forms it again and again, and calls its rank 0.
"""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from banyan.core.context import Context
from banyan.core.errors import BanyanError, ClusterDown, ClusterError, ModelError
from banyan.core.layout import Budget, Layout
from banyan.engine.checkpoint import Checkpoint, open_checkpoint
from banyan.engine.cluster.control import Clock
from banyan.engine.cluster.failure import Steps, Suspicion
from banyan.engine.cluster.forming import POLL_S, Forming, Place
from banyan.engine.cluster.frames import (
    MAX_MESSAGE,
    Prepared,
    RankNews,
    RankState,
    RankVitals,
    Start,
    Stop,
    Unable,
    frame,
)
from banyan.engine.cluster.group import RunningGroup
from banyan.engine.cluster.head_settings import HeadSettings
from banyan.engine.cluster.lobby import Guest
from banyan.engine.cluster.ranks import LocalRanks
from banyan.engine.cluster.slices import send_slice
from banyan.engine.comm.roster import Member, Roster
from banyan.engine.comm.stream import Stream
from banyan.engine.config import EngineConfig
from banyan.engine.formation import Formation
from banyan.engine.identity import identify
from banyan.engine.precision import agreed


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a replica stands on: its part of each host, and how it lies there."""

    places: tuple[Place, ...]
    layout: Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the replicas of a head have in common. ``changed`` guards them and is notified by
    ``tell``; ``closed`` is set when the head is."""

    settings: HeadSettings
    changed: threading.Condition
    closed: threading.Event
    tell: Callable[[], None]
    is_here: Callable[[Guest], bool]
    clock: Clock

    def wait(self, condition: Callable[[], object], context: Context) -> None:
        """Raises what ``context.check`` raises, and ``ClusterDown`` when the head is closed."""
        with self.changed:
            while True:
                context.check()
                if self.closed.is_set():
                    raise ClusterDown("The head was closed.")
                if condition():
                    return
                self.changed.wait(POLL_S)


class Replica:
    """``stand`` waits for the replica's hosts and says what it stands on; ``awaited`` says who of
    them is missing; ``name`` and ``speed`` tell it from others, where there are several."""

    def __init__(
        self,
        name: str,
        around: Surroundings,
        stand: Callable[[Context], Ground],
        awaited: Callable[[], str],
        speed: float = 1.0,
    ) -> None:
        self.name = name
        self.speed = speed
        self.cause = ""
        """Why the group is down; empty while it is not."""
        self.group: RunningGroup | None = None
        self._around = around
        self._stand = stand
        self._awaited = awaited
        self._forming: Forming | None = None

    @property
    def awaited(self) -> str:
        """Which hosts have yet to join, in words; empty when all are here."""
        return self._awaited()

    @property
    def is_ready(self) -> bool:
        """Whether every rank has loaded its share."""
        group = self.group
        return group is not None and group.is_ready

    @property
    def state(self) -> str:
        """``forming``, ``ready`` or ``down``."""
        return "down" if self.cause else "ready" if self.is_ready else "forming"

    def form(self, path: Path, name: str, config: EngineConfig, context: Context) -> Stream:
        """Wait for the hosts and start every rank; a connection to rank 0, which loads meanwhile.

        Raises what ``context.check`` raises, ``CheckpointInvalid``, ``PlanImpossible``, and
        ``ClusterError`` naming a host that fails meanwhile.
        """
        self.close()
        try:
            ground = self._stand(context)
        except (ClusterError, ModelError) as error:
            self.cause = str(error)
            raise
        self.cause = ""
        try:
            group = self._prepared(ground, path, name, config, context)
            self._start(group)
            return self._calls(group, context)
        except (ClusterError, ModelError) as error:
            self.cause = self.cause or str(error)
            self._around.tell()
            raise

    def fail(self, cause: str) -> None:
        """The group is lost: end all its ranks and keep why. The first cause stays."""
        self._fail(self.group, cause)

    def suspect(self, message: str) -> None:
        """Rank 0 has noticed that another rank is gone; why will be known in a moment."""
        if self.group is not None:
            self._note(self.group, RankState(rank=0, state="failed", message=message, symptom=True))

    def close(self, cause: str = "") -> None:
        """End the group, if there is one."""
        self._end(self._taken_down(cause or self.cause))
        self._around.tell()

    def look(self) -> None:
        """Fail the group when time alone shows that it must be."""
        group = self.group
        if group is not None and (verdict := group.verdict()):
            self._fail(group, verdict)

    # What guests say

    def answer(self, guest: Guest, answer: Prepared | Unable) -> None:
        """Raises ``ValueError`` for what cannot be."""
        forming = self._forming
        if forming is not None:
            forming.hear(guest, answer)

    def news(self, guest: Guest, news: RankNews) -> None:
        """What has become of a rank of that guest; raises ``ValueError`` when it is not its own."""
        group = self.group
        if group is not None and news.group == group.id:
            if not group.has(guest, news.state.rank):
                raise ValueError(f"rank {news.state.rank} is not one of its ranks")
            self._note(group, news.state)

    def beat(self, guest: Guest, vitals: Sequence[RankVitals]) -> None:
        """How far the ranks of a guest are."""
        group = self.group
        for one in vitals:
            if group is not None and one.group == group.id and group.has(guest, one.rank):
                group.steps.note(one.rank, one.progress)

    def lose(self, guest: Guest, cause: str) -> None:
        group = self.group
        if group is not None and guest in group.guests:
            self._fail(group, f"{guest} is lost. {cause}")

    def take_calls(self, connection: Stream) -> bool:
        """The connection to rank 0 on its host; False when it has one already."""
        with self._around.changed:
            if self.group is None or self.group.was_called:
                return False
            self.group.was_called = True
            self.group.calls = connection
        self._around.tell()
        return True

    def give_slice(self, connection: Stream, rank: object) -> None:
        """Send that rank's share of the checkpoint; nothing to who names no rank of this group."""
        group = self.group
        if group is None or not isinstance(rank, int) or not 0 <= rank < len(group.members):
            return
        try:
            send_slice(connection, group.path, group.formation.layout.share(rank), leads=rank == 0)
        except (OSError, BanyanError) as error:
            message = f"The head could not send its part of the model: {error}"
            self._note(group, RankState(rank=rank, state="failed", message=message))

    # The group

    def _prepared(
        self, ground: Ground, path: Path, name: str, config: EngineConfig, context: Context
    ) -> RunningGroup:
        """A group whose every rank has its listener bound."""
        own = self._around.settings
        model = identify(path, name, own.folder)
        checkpoint = open_checkpoint(path)
        group_id = secrets.token_hex(8)
        local, members = self._members(ground, group_id, _budget(config), context)
        formation = Formation(
            roster=Roster(
                group_id=group_id,
                key=secrets.token_hex(32),
                members=tuple(members),
                pem=own.pem,
            ),
            layout=ground.layout,
            model=model,
            config=self._agreed(config, checkpoint, ground),
            communication=own.communication,
            micro_batch_tokens=own.micro_batch_tokens,
        )
        return RunningGroup(
            formation=formation,
            path=path,
            name=self.name,
            hosts=[place.guest for place in ground.places],
            local=local,
            steps=Steps(ground.layout, own.step_timeout_s, self._around.clock),
            suspicion=Suspicion(self._around.clock),
            clock=self._around.clock,
        )

    def _members(
        self, ground: Ground, group_id: str, budget: Budget, context: Context
    ) -> tuple[LocalRanks, list[Member]]:
        """The ranks that run here, and all of them with their listeners."""
        around, own = self._around, self._around.settings
        here = next((place.ranks for place in ground.places if place.guest is None), 0)
        local = LocalRanks(range(here), own.address, self._note_own, budget)  # the head comes first
        forming = self._forming = Forming(group_id, around.changed, around.is_here)
        try:
            return local, forming.members(ground.places, local, own_member(own), context)
        except BanyanError:
            local.close()
            stop(group_id, [place.guest for place in ground.places])
            raise

    def _agreed(self, config: EngineConfig, checkpoint: Checkpoint, ground: Ground) -> EngineConfig:
        """What all ranks compute in, on their parts of the hosts' memory."""
        own = self._around.settings.report()
        reports = [
            (own if place.guest is None else place.guest.report, place.ranks)
            for place in ground.places
        ]
        parts = [
            (report.device, report.memory_bytes * ranks // report.ranks)
            for report, ranks in reports
        ]
        return agreed(config, checkpoint, parts)

    def _start(self, group: RunningGroup) -> None:
        with self._around.changed:
            self.group, self.cause = group, ""
        for guest in group.guests:
            if not self._around.is_here(guest):  # it went before there was a group to fail
                self._fail(group, f"{guest} left while the group was formed. {guest.lost}")
            guest.conversation.send(frame("start", Start(formation=group.formation)))
        for rank in group.local.ports:
            calls = None
            if rank == 0:
                ours, calls = socket.socketpair()
                if not self.take_calls(ours):
                    ours.close()
            group.local.start(group.formation, rank, group.path, calls)
        self._around.tell()

    def _calls(self, group: RunningGroup, context: Context) -> Stream:
        """The connection to rank 0, as soon as its host has made it. Raises ``ClusterDown``."""
        self._around.wait(lambda: self.group is not group or group.calls is not None, context)
        with self._around.changed:
            calls, group.calls = group.calls, None
            if self.group is group and calls is not None:
                return calls
        if calls is not None:
            calls.close()
        raise ClusterDown(self.cause or "The head was closed.")

    def _note_own(self, state: RankState) -> None:
        if self.group is not None:
            self._note(self.group, state)

    def _note(self, group: RunningGroup, state: RankState) -> None:
        """What a rank's supervisor says of it."""
        group.note(state)
        if state.is_over:
            told = f"{group.called(state.rank)}: {state.message[:MAX_MESSAGE]}"
            if state.symptom:
                group.suspicion.note(told)
            else:
                self._fail(group, told)
        self._around.tell()

    def _fail(self, group: RunningGroup | None, cause: str) -> None:
        with self._around.changed:
            if group is None or self.group is not group:
                return
            self._taken_down(cause)
        self._end(group)
        self._around.tell()

    def _taken_down(self, cause: str) -> RunningGroup | None:
        """From now on there is no group; the one that was."""
        with self._around.changed:
            group, self.group = self.group, None
            self.cause = cause
        return group

    def _end(self, group: RunningGroup | None) -> None:
        """Every rank ends, here and elsewhere; the hosts stay."""
        if group is not None:
            stop(group.id, group.guests)
            group.local.close()
            calls, group.calls = group.calls, None
            if calls is not None:
                calls.close()


def _budget(config: EngineConfig) -> Budget:
    """Of each of the head's own ranks."""
    return Budget(device=config.device_memory, host=config.host_memory, staging=config.staging)


def own_member(settings: HeadSettings) -> Member:
    """What the ranks of the head's own host have in common."""
    return Member(
        rank=0,
        host=0,
        address=settings.address,
        port=0,
        device=settings.device,
        sharers=settings.local_ranks,
    )


def stop(group_id: str, hosts: Sequence[Guest | None]) -> None:
    """The hosts end what they have of that group."""
    for guest in hosts:
        if guest is not None:
            guest.conversation.send(frame("stop", Stop(group=group_id)))
