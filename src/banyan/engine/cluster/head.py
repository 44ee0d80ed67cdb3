"""Head: forms a group of the hosts that have joined, and notices who has died.

    form      waits for the hosts, asks each for listeners, tells all the formation
    fail      ends every rank everywhere, and keeps the first cause
    status    who is here, and how they are

It belongs to the server's process and needs no torch. Rank 0 is the engine's own process, which
``process.py`` in this folder starts.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from banyan.core.cluster import ClusterStatus
from banyan.core.context import Context
from banyan.core.errors import BanyanError, ClusterDown, ClusterError, ModelError
from banyan.core.layout import Budget, Facts, Layout, ModelShape
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.cluster.choosing import facts_of
from banyan.engine.cluster.control import Clock
from banyan.engine.cluster.failure import Steps, Suspicion
from banyan.engine.cluster.forming import POLL_S, Forming
from banyan.engine.cluster.frames import (
    MAX_MESSAGE,
    Beat,
    RankNews,
    RankState,
    Start,
    frame,
    said,
)
from banyan.engine.cluster.group import RunningGroup, guest_status, own_status
from banyan.engine.cluster.head_settings import HeadSettings
from banyan.engine.cluster.lobby import Callbacks, Guest, Lobby
from banyan.engine.cluster.ranks import LocalRanks
from banyan.engine.cluster.slices import send_slice
from banyan.engine.comm.handshake import Hello
from banyan.engine.comm.roster import Member, Roster
from banyan.engine.comm.stream import Stream
from banyan.engine.config import EngineConfig
from banyan.engine.formation import Formation, Seat
from banyan.engine.identity import identify
from banyan.engine.planning import shape_of, weight_kind
from banyan.engine.precision import agreed
from banyan.engine.pulse import Progress
from banyan.engine.wire import Json
from banyan.plan.matrices import WeightKind

ChooseLayout = Callable[[ModelShape, WeightKind, Facts], Layout]


class Head:
    """See the module. ``on_change`` is told nothing, only that ``status`` has changed."""

    def __init__(
        self,
        settings: HeadSettings,
        choose: ChooseLayout,
        on_change: Callable[[], None] = lambda: None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Listen. Raises ``InputError`` and ``HostUnreachable``."""
        self._report = settings.report()
        self.settings = settings
        self._choose = choose
        self._on_change = on_change
        self._clock = clock
        self._changed = threading.Condition(threading.RLock())
        self._group: RunningGroup | None = None
        self._cause = ""
        self._closed = threading.Event()
        self._forming = Forming(self._changed, lambda guest: guest in self._lobby.guests)
        callbacks = Callbacks(
            on_join=lambda guest: self._tell(),
            on_frame=self._hear,
            on_lost=self._lose,
            on_slice=self._give_slice,
        )
        self._lobby = Lobby(
            (settings.address, settings.port),
            settings.token,
            settings.hosts,
            callbacks,
            names=settings.names,
            pem=settings.pem,
        )
        threading.Thread(target=self._look, name="cluster head", daemon=True).start()

    @property
    def port(self) -> int:
        return self._lobby.port

    @property
    def cause(self) -> str:
        """Why the group is down; empty while it is not."""
        return self._cause

    @property
    def missing(self) -> int:
        """How many hosts have yet to join."""
        return max(0, self.settings.hosts - len(self._lobby.guests))

    @property
    def awaited(self) -> str:
        """Who has yet to join, in words; empty when all hosts are here."""
        if names := self._missing_names:
            return f"Not here: {', '.join(names)}."
        return f"{self.missing} of its hosts have yet to join." if self.missing else ""

    @property
    def _missing_names(self) -> tuple[str, ...]:
        here = {guest.report.name for guest in self._lobby.guests}
        return tuple(name for name in self.settings.names if name not in here)

    @property
    def others_are_ready(self) -> bool:
        """Whether every rank but rank 0 has loaded its share."""
        group = self._group
        return group is not None and group.are_ready(1)

    def form(self, path: Path, name: str, config: EngineConfig, context: Context) -> Seat:
        """Wait for the hosts, then start every rank but rank 0, whose seat is returned; its
        descriptors are to be inherited.

        Raises what ``context.check`` raises, ``CheckpointInvalid``, ``PlanImpossible``, and
        ``ClusterError`` naming a host that fails meanwhile.
        """
        guests = self._gathered(context)
        self._end(self._taken_down(""))
        try:
            return self._formed(guests, path, name, config, context)
        except (ClusterError, ModelError) as error:
            self._cause = self._cause or str(error)
            self._tell()
            raise

    def wait_ready(self, context: Context) -> None:
        """Wait until every rank but rank 0 has loaded its share. Raises ``ClusterDown``."""
        self._wait(lambda: self._group is None or self.others_are_ready, context)
        if self._group is None:
            raise ClusterDown(self._cause or "The head was closed.")

    def lead(self, state: RankState, rss: Callable[[], int]) -> None:
        """Rank 0 has come that far; ``rss`` tells what its process holds."""
        with self._changed:
            if self._group is not None:
                self._group.lead_rss = rss
                self._group.local.release(0)  # its process has it now
        self._note(self._group, state)

    def progress(self, progress: Progress) -> None:
        """How far rank 0 is in its steps."""
        group = self._group
        if group is not None:
            group.steps.note(0, progress)

    def fail(self, cause: str) -> None:
        """The group is lost: end all its ranks and keep why. The first cause stays."""
        self._fail(self._group, cause)

    def close(self) -> None:
        """End the group, and let the hosts go."""
        self._closed.set()
        self._end(self._taken_down(self._cause))
        self._lobby.close()
        self._tell()

    def status(self) -> ClusterStatus:
        """Who is here and how they are."""
        with self._changed:
            group, cause = self._group, self._cause
        own = own_status(self._report, self.settings.address, group)
        hosts = [guest_status(guest, group) for guest in self._lobby.guests]
        is_ready = group is not None and group.are_ready(0)
        communication = self.settings.communication
        return ClusterStatus(
            state="down" if cause else "ready" if is_ready else "forming",
            cause=cause,
            address=f"{self.settings.address}:{self.port}",
            expected_hosts=self.settings.hosts + 1,
            missing=self._missing_names,
            hosts=(own, *hosts),
            layout="" if group is None else group.formation.layout.name,
            algorithm=communication.algorithm,
            payload=communication.payload,
            tls=bool(self.settings.pem),
            facts=None if group is None else group.facts,
            precision="" if group is None else group.kind,
        )

    # What guests say

    def _hear(self, guest: Guest, message: Json) -> None:
        operation = message.get("op")
        group = self._group
        if operation == "beat":
            guest.beat = said(Beat, message)
            if group is not None and guest in group.guests:
                for one in guest.beat.ranks:
                    if group.has(guest, one.rank):
                        group.steps.note(one.rank, one.progress)
        elif operation == "rank":
            news = said(RankNews, message)
            if group is not None and news.group == group.id:
                if not group.has(guest, news.state.rank):
                    raise ValueError(f"rank {news.state.rank} is not one of its ranks")
                self._note(group, news.state)
        elif operation in ("prepared", "unable"):
            self._forming.hear(guest, message)
            self._tell()
        elif operation == "leave":
            guest.conversation.close("It left the cluster.")
        else:
            raise ValueError(f"{operation!r:.40} is nothing that a host says")

    def _lose(self, guest: Guest, cause: str) -> None:
        group = self._group
        if group is not None and guest in group.guests:
            self._fail(group, f"{guest} is lost. {cause}")
        self._tell()

    def _note(self, group: RunningGroup | None, state: RankState) -> None:
        """What a rank's supervisor says of it."""
        if group is None:
            return
        group.note(state)
        if state.is_over:
            told = f"{group.called(state.rank)}: {state.message[:MAX_MESSAGE]}"
            if state.symptom:
                group.suspicion.note(told)
            else:
                self._fail(group, told)
        self._tell()

    def _give_slice(self, connection: Stream, hello: Hello) -> None:
        group, rank = self._group, hello.get("rank")
        if group is None or hello.get("group") != group.id:
            return
        if not isinstance(rank, int) or not 0 < rank < len(group.members):
            return
        try:
            send_slice(connection, group.path, group.formation.layout.share(rank))
        except (OSError, BanyanError) as error:
            self._note(group, RankState(rank=rank, state="failed", message=_no_slice(error)))

    # The group

    def _gathered(self, context: Context) -> tuple[Guest, ...]:
        """All hosts, once they are here at the same time."""
        while True:
            self._wait(lambda: self.missing == 0, context)
            guests = tuple(self._lobby.guests)
            if len(guests) >= self.settings.hosts:
                return guests

    def _formed(
        self,
        guests: Sequence[Guest],
        path: Path,
        name: str,
        config: EngineConfig,
        context: Context,
    ) -> Seat:
        checkpoint = open_checkpoint(path)
        reports = [self._report, *(guest.report for guest in guests)]
        hosts = [(report.device, report.memory_bytes) for report in reports]
        config = agreed(config, checkpoint, hosts)
        kind = weight_kind(config, checkpoint)
        own = self.settings
        model = identify(path, name, own.folder)
        budget = Budget(
            device=config.device_memory, host=config.host_memory, staging=config.staging
        )
        local = LocalRanks(range(own.local_ranks), own.address, self._note_own, budget)
        try:
            members = self._forming.members(local, (own.address, own.device), guests, context)
            links = self._forming.links(local, own.address, guests, own.pem)
            facts = facts_of(reports, links)
            layout = self._choose(shape_of(checkpoint), kind, facts)
        except BanyanError:
            local.close()
            raise
        formation = Formation(
            roster=_roster(members, own.pem),
            layout=layout,
            model=model,
            config=config,
            communication=own.communication,
            micro_batch_tokens=own.micro_batch_tokens,
        )
        group = RunningGroup(
            formation=formation,
            path=path,
            guests=guests,
            local=local,
            steps=Steps(layout, own.step_timeout_s, self._clock),
            suspicion=Suspicion(self._clock),
            clock=self._clock,
            facts=facts,
            kind=kind,
        )
        self._started(group)
        return self._seat_of_lead(group)

    def _started(self, group: RunningGroup) -> None:
        """Every rank but rank 0 is told to start."""
        with self._changed:
            self._group, self._cause = group, ""
        for guest in group.guests:
            if guest not in self._lobby.guests:  # it went before there was a group to fail
                self.fail(f"{guest} left while the group was formed. {guest.lost}")
            guest.conversation.send(frame("start", Start(formation=group.formation)))
        for rank in range(1, self.settings.local_ranks):
            group.local.start(group.formation, rank, group.path)
        self._tell()

    def _seat_of_lead(self, group: RunningGroup) -> Seat:
        with self._changed:
            if self._group is not group:
                raise ClusterDown(self._cause or "The head was closed.")
            return group.local.seat(group.formation, 0)

    def _note_own(self, state: RankState) -> None:
        self._note(self._group, state)

    def _look(self) -> None:
        """Fail the group when time alone shows that it must be."""
        while not self._closed.wait(POLL_S):
            group = self._group
            if group is not None and (verdict := group.verdict()):
                self._fail(group, verdict)

    def _fail(self, group: RunningGroup | None, cause: str) -> None:
        with self._changed:
            if group is None or self._group is not group:
                return
            self._taken_down(cause)
        self._end(group)
        self._tell()

    def _taken_down(self, cause: str) -> RunningGroup | None:
        """From now on there is no group; the one that was."""
        with self._changed:
            group, self._group = self._group, None
            self._cause = cause
        return group

    def _end(self, group: RunningGroup | None) -> None:
        """Every rank ends, here and elsewhere; the hosts stay."""
        if group is not None:
            for guest in group.guests:
                guest.conversation.send(frame("stop"))
            group.local.close()

    def _wait(self, condition: Callable[[], bool], context: Context) -> None:
        with self._changed:
            while True:
                context.check()
                if self._closed.is_set():
                    raise ClusterDown("The head was closed.")
                if condition():
                    return
                self._changed.wait(POLL_S)

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
        self._on_change()


def _roster(members: Sequence[Member], pem: str) -> Roster:
    """These ranks under a key of their own."""
    return Roster(
        group_id=secrets.token_hex(8), key=secrets.token_hex(32), members=tuple(members), pem=pem
    )


def _no_slice(error: Exception) -> str:
    return f"The head could not send its part of the model: {error}"
