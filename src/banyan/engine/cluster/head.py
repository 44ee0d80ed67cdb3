"""Head: forms a group of the hosts that have joined, and notices who has died.

    form      waits for the hosts, asks each for listeners, tells all the formation
    fail      ends every rank everywhere, and keeps the first cause
    status    who is here, and how they are

It belongs to the server's process and needs no torch. Rank 0 is the engine's own process, which
``process.py`` in this folder starts.
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from banyan.core.context import Context
from banyan.core.errors import ClusterDown, ClusterError, HostUnreachable
from banyan.core.layout import Layout, ModelShape, from_json, to_json
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.cluster.control import HostReport, report_of
from banyan.engine.cluster.identity import identify
from banyan.engine.cluster.lobby import HEAD_NAME, Callbacks, Guest, Lobby
from banyan.engine.cluster.ranks import LocalRanks, RankState
from banyan.engine.cluster.slices import send_slice
from banyan.engine.cluster.status import ClusterStatus, HostStatus, RankStatus
from banyan.engine.comm.handshake import Hello
from banyan.engine.comm.roster import Member, Roster
from banyan.engine.config import EngineConfig
from banyan.engine.formation import Communication, Formation, Seat
from banyan.engine.wire import Json

POLL_S: Final = 0.1
PREPARE_S: Final = 10.0
"""How long a host may take to bind its listeners."""

ChooseLayout = Callable[[ModelShape, Sequence[HostReport]], Layout]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSettings:
    """``address`` is what other hosts reach this one by; ``hosts`` of them must join.
    ``local_ranks`` run here, rank 0 among them. ``folder`` keeps the digests of checkpoints."""

    address: str
    port: int
    token: str
    hosts: int
    local_ranks: int = 1
    device: str = "cpu"
    folder: Path | None = None
    communication: Communication = field(default_factory=Communication)
    micro_batch_tokens: int = 256


class Head:
    """See the module. ``on_change`` is told nothing, only that ``status`` has changed."""

    def __init__(
        self,
        settings: HeadSettings,
        choose: ChooseLayout,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self._choose = choose
        self._on_change = on_change
        self._changed = threading.Condition(threading.RLock())
        self._formation: Formation | None = None
        self._path: Path | None = None
        self._local: LocalRanks | None = None
        self._ranks: dict[int, RankState] = {}
        self._cause = ""
        self._closed = False
        callbacks = Callbacks(
            on_join=lambda guest: self._tell(),
            on_frame=self._hear,
            on_lost=self._lose,
            on_slice=self._give_slice,
        )
        self._lobby = Lobby(
            settings.address, settings.port, settings.token, settings.hosts, callbacks
        )

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
        return self.settings.hosts - len(self._lobby.guests)

    def form(self, path: Path, name: str, config: EngineConfig, context: Context) -> Seat:
        """Wait for the hosts, then start every rank but rank 0, whose seat is returned; its
        descriptors are to be inherited.

        Raises what ``context.check`` raises, ``CheckpointInvalid``, ``PlanImpossible``, and
        ``ClusterDown`` when a host fails meanwhile.
        """
        self._wait(lambda: self.missing <= 0, context)
        model = identify(path, name, self.settings.folder)
        shape = open_checkpoint(path).config.shape
        self._end_group()
        guests = self._lobby.guests
        reports = [self._own_report(), *(guest.report for guest in guests)]
        layout = self._choose(shape, reports)
        members, local = self._prepared(guests, context)
        formation = Formation(
            roster=Roster(
                group_id=secrets.token_hex(8), key=secrets.token_hex(32), members=tuple(members)
            ),
            layout=layout,
            model=model,
            config=replace(config.resolve(), threads=config.threads),
            communication=self.settings.communication,
            micro_batch_tokens=self.settings.micro_batch_tokens,
        )
        with self._changed:
            self._formation, self._path, self._local = formation, path, local
            self._cause, self._ranks = "", {}
        for guest in guests:
            guest.conversation.send({"op": "start", "formation": to_json(formation)})
        for rank in range(1, self.settings.local_ranks):
            local.start(formation, rank, path)
        self._tell()
        return local.seat(formation, 0)

    def wait_ready(self, context: Context) -> None:
        """Wait until every rank but rank 0 has loaded its share. Raises ``ClusterDown``."""
        self._wait(lambda: self._formation is None or self._others_are_ready(), context)
        if self._formation is None:
            raise ClusterDown(self._cause or "The head was closed.")

    def fail(self, cause: str) -> None:
        """The group is lost: end all its ranks and keep why. The first cause stays."""
        with self._changed:
            if self._formation is None:
                return
            self._cause = cause
        self._end_group()
        self._tell()

    def close(self) -> None:
        """End the group, and let the hosts go."""
        self._closed = True
        self._end_group()
        self._lobby.close()

    def status(self) -> ClusterStatus:
        """Who is here and how they are."""
        with self._changed:
            formation, cause = self._formation, self._cause
            own = self._host(self._own_report(), 0)
            hosts = [self._guest(guest) for guest in self._lobby.guests]
            is_ready = formation is not None and self._others_are_ready()
        state = "down" if cause else "ready" if is_ready else "forming"
        return ClusterStatus(
            state=state,
            cause=cause,
            expected_hosts=self.settings.hosts + 1,
            hosts=(own, *hosts),
            layout="" if formation is None else formation.layout.name,
            algorithm=self.settings.communication.algorithm,
            payload=self.settings.communication.payload,
        )

    def _guest(self, guest: Guest) -> HostStatus:
        return replace(
            self._host(guest.report, guest.number, guest.rss_bytes),
            address=guest.address,
            memory_used_bytes=guest.memory_used_bytes,
            silence_s=guest.conversation.silence_s,
        )

    def _host(
        self, report: HostReport, number: int, rss_bytes: dict[int, int] | None = None
    ) -> HostStatus:
        ranks = [
            RankStatus(
                rank=member.rank,
                state=self._ranks[member.rank].state if member.rank in self._ranks else "",
                device=member.device,
                rss_bytes=(rss_bytes or {}).get(member.rank, 0),
            )
            for member in self._members()
            if member.host == number
        ]
        return HostStatus(
            name=report.name,
            address=self.settings.address,
            cores=report.cores,
            memory_bytes=report.memory_bytes,
            memory_used_bytes=0,
            silence_s=0.0,
            ranks=tuple(ranks),
        )

    # What guests say

    def _hear(self, guest: Guest, frame: Json) -> None:
        if frame["op"] == "prepared":
            guest.ports = {int(rank): int(port) for rank, port in frame["ports"].items()}
            self._tell()
        elif frame["op"] == "rank":
            state = from_json(RankState, frame["state"])
            if frame.get("group") == self._group_id() and self._runs(guest, state.rank):
                self._note(guest.report.name, state)
        elif frame["op"] == "beat":
            guest.memory_used_bytes = int(frame.get("memory_used_bytes", 0))
            guest.rss_bytes = {int(r): int(b) for r, b in frame.get("rss_bytes", {}).items()}

    def _lose(self, guest: Guest, cause: str) -> None:
        self.fail(f"Host {guest.report.name} ({guest.address}) is lost. {cause}")
        self._tell()

    def _note(self, host: str, state: RankState) -> None:
        with self._changed:
            self._ranks[state.rank] = state
        if state.state in ("failed", "ended"):
            self.fail(f"Rank {state.rank} on host {host}: {state.message}")
        self._tell()

    def _give_slice(self, connection: socket.socket, hello: Hello) -> None:
        formation, path, rank = self._formation, self._path, hello.get("rank")
        if formation is None or path is None or hello.get("group") != self._group_id():
            return
        if not isinstance(rank, int) or not 0 < rank < len(formation.roster.members):
            return
        try:
            send_slice(connection, path, formation.layout.share(rank))
        except OSError:
            return  # it has gone; its host says why

    # Who runs what

    def _own_report(self) -> HostReport:
        return report_of(HEAD_NAME, self.settings.local_ranks, self.settings.device)

    def _prepared(
        self, guests: Sequence[Guest], context: Context
    ) -> tuple[list[Member], LocalRanks]:
        """Every rank with its listener bound, host by host."""
        own = self.settings
        local = LocalRanks(range(own.local_ranks), own.address, self._note_own)
        members = [
            Member(rank=rank, host=0, address=own.address, port=port, device=own.device)
            for rank, port in local.ports.items()
        ]
        try:
            for number, guest in enumerate(guests, start=1):
                guest.number = number
                members += self._asked(guest, len(members), context)
        except ClusterError:
            local.close()
            raise
        return members, local

    def _asked(self, guest: Guest, first: int, context: Context) -> list[Member]:
        """The ranks of a guest, numbered from ``first``, once it has bound their listeners."""
        ranks = range(first, first + guest.report.ranks)
        guest.ports = {}
        guest.conversation.send({"op": "prepare", "ranks": list(ranks), "address": guest.address})
        deadline = time.monotonic() + PREPARE_S
        with self._changed:
            while set(guest.ports) != set(ranks):
                context.check()
                if guest not in self._lobby.guests:
                    raise ClusterDown(f"Host {guest.report.name} left while the group was formed.")
                if time.monotonic() > deadline:
                    raise HostUnreachable(
                        f"Host {guest.report.name} did not prepare its ranks in {PREPARE_S:g} s."
                    )
                self._changed.wait(POLL_S)
        device = guest.report.device
        return [
            Member(
                rank=rank,
                host=guest.number,
                address=guest.address,
                port=guest.ports[rank],
                device=device,
            )
            for rank in ranks
        ]

    def _note_own(self, state: RankState) -> None:
        self._note(HEAD_NAME, state)

    def _others_are_ready(self) -> bool:
        states = [self._ranks.get(member.rank) for member in self._members()[1:]]
        return all(state is not None and state.state == "ready" for state in states)

    def _runs(self, guest: Guest, rank: int) -> bool:
        return any(m.rank == rank and m.host == guest.number for m in self._members())

    def _members(self) -> Sequence[Member]:
        return () if self._formation is None else self._formation.roster.members

    def _group_id(self) -> str:
        return "" if self._formation is None else self._formation.roster.group_id

    def _end_group(self) -> None:
        """Every rank ends, here and elsewhere; the hosts stay."""
        with self._changed:
            formation, self._formation = self._formation, None
            local, self._local = self._local, None
        if formation is not None:
            for guest in self._lobby.guests:
                guest.conversation.send({"op": "stop"})
        if local is not None:
            local.close()

    def _wait(self, condition: Callable[[], bool], context: Context) -> None:
        with self._changed:
            while True:
                context.check()
                if self._closed:
                    raise ClusterDown("The head was closed.")
                if condition():
                    return
                self._changed.wait(POLL_S)

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
        self._on_change()
