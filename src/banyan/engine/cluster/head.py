"""Head: takes in the hosts that join, deals their ranks to replicas, and hears what they say.

    deal      waits for the hosts, then decides once how many replicas there are, on which ranks
    status    who is here, and how they are

It belongs to the server's process and needs no torch. A replica (``replica.py``) forms a group of
its ranks.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from banyan.core.cluster import ClusterStatus
from banyan.core.context import Context
from banyan.core.errors import ClusterDown, ClusterError, InputError, ModelError
from banyan.core.layout import Facts, Layout, ModelShape
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.cluster.choosing import facts_of
from banyan.engine.cluster.control import Clock
from banyan.engine.cluster.dealing import Dealt, deal
from banyan.engine.cluster.forming import POLL_S, Place
from banyan.engine.cluster.frames import Beat, Prepared, RankNews, Unable, said
from banyan.engine.cluster.head_settings import HeadSettings
from banyan.engine.cluster.lobby import HEAD_NAME, Callbacks, Guest, Lobby
from banyan.engine.cluster.portrait import portrait
from banyan.engine.cluster.replica import Ground, Replica, Surroundings
from banyan.engine.cluster.survey import Survey
from banyan.engine.comm.handshake import Hello
from banyan.engine.comm.stream import Stream
from banyan.engine.config import EngineConfig
from banyan.engine.planning import shape_of, weight_kind
from banyan.engine.precision import agreed
from banyan.engine.wire import Json
from banyan.plan.matrices import WeightKind

Choose = Callable[[ModelShape, WeightKind, Facts, int], Sequence[Layout]]
"""The layouts of replicas, each on the next ranks of these hosts; so many replicas, or, where 0 is
given, as many as seems best. ``choosing.py`` has the one that is used."""


class Head:
    """See the module. ``on_change`` is told nothing, only that ``status`` has changed."""

    def __init__(
        self,
        settings: HeadSettings,
        choose: Choose,
        on_change: Callable[[], None] = lambda: None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Listen. Raises ``InputError`` and ``HostUnreachable``."""
        self._report = settings.report()
        self.settings = settings
        self.replicas: tuple[Replica, ...] = ()
        self._choose = choose
        self._on_change = on_change
        self._changed = threading.Condition(threading.RLock())
        self._cause = ""
        self._known: tuple[Facts, WeightKind] | None = None
        self._closed = threading.Event()
        self._around = Surroundings(
            settings=settings,
            changed=self._changed,
            closed=self._closed,
            tell=self._tell,
            is_here=lambda guest: guest in self._lobby.guests,
            clock=clock,
        )
        self._survey = Survey(self._around)
        callbacks = Callbacks(
            on_join=lambda guest: self._tell(),
            on_frame=self._hear,
            on_lost=self._lose,
            on_slice=self._give_slice,
            on_calls=self._take_calls,
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
    def missing(self) -> int:
        """How many hosts have yet to join."""
        return max(0, self.settings.hosts - len(self._lobby.guests))

    @property
    def awaited(self) -> str:
        """Who has yet to join, in words; empty when all hosts are here."""
        missing = self._awaited(self.settings.names)
        if not missing and self.missing:
            return f"{self.missing} of its hosts have yet to join."
        return missing

    def deal(self, path: Path, config: EngineConfig, context: Context) -> tuple[Replica, ...]:
        """Wait for the hosts and deal their ranks to the replicas.

        What several replicas got is theirs as long as this head lives, and hosts must come back by
        their names; one alone takes whatever hosts are here, each time it forms.

        Raises what ``context.check`` raises, ``ClusterDown`` when the head is closed meanwhile,
        ``CheckpointInvalid``, and what choosing the layouts raises.
        """
        guests = self._gathered(context)
        try:
            dealt = self._dealt(path, config, guests, 0, context)
        except (ClusterError, InputError, ModelError) as error:
            self._cause = str(error)
            self._tell()
            raise
        if len(dealt) > 1:
            self._lobby.expect({guest.report.name: guest.report.ranks for guest in guests})
            self.replicas = tuple(
                Replica(
                    f"replica {number}",
                    self._around,
                    stand=partial(self._own_ground, each),
                    awaited=partial(self._awaited, each.guests),
                    speed=each.speed,
                )
                for number, each in enumerate(dealt)
            )
        else:
            stand = partial(self._any_ground, path, config, iter(dealt))
            self.replicas = (Replica("", self._around, stand, awaited=lambda: self.awaited),)
        self._cause = ""
        self._tell()
        return self.replicas

    def close(self) -> None:
        """End the replicas, and let the hosts go."""
        self._closed.set()
        for replica in self.replicas:
            replica.close()
        self._lobby.close()
        self._tell()

    def status(self) -> ClusterStatus:
        """Who is here and how they are."""
        found = portrait(
            self.settings,
            self._report,
            f"{self.settings.address}:{self.port}",
            self._missing(self.settings.names),
            self._lobby.guests,
            self.replicas,
        )
        if self._cause:
            found = replace(found, state="down", cause=self._cause)
        if self._known is None:
            return found
        facts, kind = self._known
        return replace(found, facts=facts, precision=kind)

    # What guests say

    def _hear(self, guest: Guest, message: Json) -> None:
        operation = message.get("op")
        if operation == "beat":
            guest.beat = said(Beat, message)
            for replica in self.replicas:
                replica.beat(guest, guest.beat.ranks)
        elif operation == "rank":
            news = said(RankNews, message)
            for replica in self.replicas:
                replica.news(guest, news)
        elif operation in ("prepared", "unable"):
            answer: Prepared | Unable = (
                said(Prepared, message) if operation == "prepared" else said(Unable, message)
            )
            for replica in self.replicas:
                replica.answer(guest, answer)
            self._survey.answer(guest, answer)
            self._tell()
        elif operation == "leave":
            guest.conversation.close("It left the cluster.")
        else:
            raise ValueError(f"{operation!r:.40} is nothing that a host says")

    def _lose(self, guest: Guest, cause: str) -> None:
        for replica in self.replicas:
            replica.lose(guest, cause)
        self._tell()

    def _give_slice(self, connection: Stream, hello: Hello) -> None:
        replica = self._replica(hello)
        if replica is not None:
            replica.give_slice(connection, hello.get("rank"))

    def _take_calls(self, connection: Stream, hello: Hello) -> None:
        replica = self._replica(hello)
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if replica is None or not replica.take_calls(connection):
            connection.close()

    def _replica(self, hello: Hello) -> Replica | None:
        """The one whose group a connection names."""
        for replica in self.replicas:
            group = replica.group
            if group is not None and group.id == hello.get("group"):
                return replica
        return None

    # Who stands where

    def _gathered(self, context: Context) -> tuple[Guest, ...]:
        """All hosts, once they are here at the same time: in the order of their names in the hosts
        file, or else as they came."""
        found: tuple[Guest, ...] = ()

        def are_here() -> bool:
            nonlocal found
            found = tuple(self._lobby.guests)
            return len(found) >= self.settings.hosts

        self._around.wait(are_here, context)
        names = self.settings.names
        return (
            tuple(sorted(found, key=lambda guest: names.index(guest.report.name)))
            if names
            else found
        )

    def _dealt(
        self,
        path: Path,
        config: EngineConfig,
        guests: Sequence[Guest],
        replicas: int,
        context: Context,
    ) -> tuple[Dealt, ...]:
        """What each replica gets of these hosts, from what is measured of them now."""
        checkpoint = open_checkpoint(path)
        reports = [self._report, *(guest.report for guest in guests)]
        memories = [(report.device, report.memory_bytes) for report in reports]
        kind = weight_kind(agreed(config, checkpoint, memories), checkpoint)
        facts = facts_of(reports, self._survey.links(guests, context))
        layouts = self._choose(shape_of(checkpoint), kind, facts, replicas)
        self._known = facts, kind
        return deal(layouts, facts, kind)

    def _any_ground(
        self, path: Path, config: EngineConfig, just_dealt: Iterator[Dealt], context: Context
    ) -> Ground:
        """All ranks of whatever hosts are here; the first time as they were just dealt."""
        dealt = next(just_dealt, None)
        if dealt is None:
            (dealt,) = self._dealt(path, config, self._gathered(context), 1, context)
        return self._ground(dealt)

    def _own_ground(self, dealt: Dealt, context: Context) -> Ground:
        """The ranks it was dealt, once their hosts are here."""
        self._around.wait(lambda: not self._awaited(dealt.guests), context)
        return self._ground(dealt)

    def _ground(self, dealt: Dealt) -> Ground:
        """Raises ``ClusterDown`` when one of the hosts has just gone."""
        here = {guest.report.name: guest for guest in self._lobby.guests}
        places = []
        for name, ranks in dealt.hosts:
            if name != HEAD_NAME and name not in here:
                raise ClusterDown(f"Host {name} left while the group was formed.")
            places.append(Place(guest=here.get(name), ranks=ranks))
        return Ground(places=tuple(places), layout=dealt.layout)

    def _awaited(self, names: Sequence[str]) -> str:
        missing = self._missing(names)
        return f"Not here: {', '.join(missing)}." if missing else ""

    def _missing(self, names: Sequence[str]) -> tuple[str, ...]:
        here = {guest.report.name for guest in self._lobby.guests}
        return tuple(name for name in names if name not in here)

    def _look(self) -> None:
        while not self._closed.wait(POLL_S):
            for replica in self.replicas:
                replica.look()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
        self._on_change()
