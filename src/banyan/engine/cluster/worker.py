"""Worker: a host that has joined a head: it starts the ranks it is told to, watches them, and comes
back when the head has gone.

    join      connect, prove the token, say what this machine is
    prepare   bind a listener for each of its ranks (``part.py``)
    probe     measure the links to the other hosts
    start     find the checkpoint, or fetch the ranks' slices of it; start them
    stop      end them
"""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from banyan.core.context import Context
from banyan.core.errors import ClusterError, HostUnreachable, InputError, JoinRefused
from banyan.core.layout import Budget, DeviceFacts
from banyan.engine.cluster.control import CONTROL, Conversation, report_of
from banyan.engine.cluster.frames import (
    Beat,
    Hello,
    Prepare,
    Prepared,
    Probe,
    RankPort,
    Refusal,
    Start,
    Stop,
    Unable,
    frame,
    said,
)
from banyan.engine.cluster.part import Part
from banyan.engine.cluster.slice_cache import SliceCache
from banyan.engine.comm import handshake
from banyan.engine.comm.stream import Stream
from banyan.engine.comm.tls_stream import TlsStream
from banyan.engine.wire import Json

CONNECT_S: Final = 5.0
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 10.0
"""Pauses between tries to reach a head that has gone double up to this."""
POLL_S: Final = 0.1

OnEvent = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """``find`` gives the path of an installed model of that name, or raises ``NotFound``;
    ``slices`` keeps slices, and digests of checkpoints beside them; with ``tls`` a head without is
    refused. ``measured``: what the device does; ``budget``: what each rank may take."""

    address: str
    port: int
    token: str
    name: str
    ranks: int
    device: str
    slices: SliceCache
    find: Callable[[str], Path]
    tls: bool = False
    measured: DeviceFacts | None = None
    budget: Budget = Budget()


def join(settings: WorkerSettings, context: Context, on_event: OnEvent) -> None:
    """Serve the head until ``context`` is cancelled; a head that goes is awaited.

    Raises ``InputError`` for settings no host can have, ``HostUnreachable`` when the head cannot be
    reached at first, and ``JoinRefused`` when it does not want this host, at any time.
    """
    hello, pause, joined = _hello(settings), FIRST_PAUSE_S, False
    while not context.cancel.is_set():
        try:
            connection = _connected(settings, {"purpose": CONTROL})
        except HostUnreachable:
            if not joined:
                raise
            context.cancel.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
            continue
        visit = _Visit(settings, connection, on_event)
        try:
            visit.run(hello, context)
        finally:
            visit.close()
        if visit.was_welcome:
            joined, pause = True, FIRST_PAUSE_S
        if not context.cancel.wait(FIRST_PAUSE_S):
            on_event(f"The head is gone: {visit.cause} Trying to join again.")


def _hello(settings: WorkerSettings) -> Hello:
    instance = secrets.token_hex(8)
    try:
        report = report_of(
            settings.name,
            settings.ranks,
            settings.device,
            instance=instance,
            measured=settings.measured,
        )
    except ValueError as error:
        raise InputError(f"This host cannot join: {error}.") from None
    return Hello(report=report)


def _connected(settings: WorkerSettings, hello: handshake.Hello) -> Stream:
    """A proven connection to the head."""
    where = f"{settings.address}:{settings.port}"
    try:
        connection = socket.create_connection((settings.address, settings.port), timeout=CONNECT_S)
    except OSError as error:
        raise HostUnreachable(
            f"No head answers at {where}: {error.strerror or error}.",
            remedy="Check address and port as the head prints them, and the firewall between.",
        ) from None
    try:
        key = settings.token.encode()
        if not settings.tls:
            handshake.connect(connection, key, hello)
            return connection
        stream = TlsStream.connect(connection)
        handshake.connect(stream, key, hello, certificate=stream.fingerprint)
        return stream
    except ClusterError:
        connection.close()
        raise


class _Visit:
    """One stay at the head, from the hello to the loss of the connection."""

    def __init__(self, settings: WorkerSettings, connection: Stream, on_event: OnEvent) -> None:
        self.cause = ""
        self.was_welcome = False
        self._settings = settings
        self._on_event = on_event
        self._ended = threading.Event()
        self._refusal: JoinRefused | None = None
        self._parts: dict[str, Part] = {}
        self._turn = threading.Lock()  # who wants to end a part that is just ending waits for it
        self._conversation = Conversation(connection, self._hear, self._end, self._beat)

    def run(self, hello: Hello, context: Context) -> None:
        """Say hello and do what the head says; raises ``JoinRefused``."""
        self._conversation.send(frame("hello", hello))
        self._conversation.run()
        while not self._ended.wait(POLL_S):
            if context.cancel.is_set():
                return
        if self._refusal is not None:
            raise self._refusal

    def close(self) -> None:
        """Leave; this host's ranks end first."""
        with self._turn:
            for part in self._parts.values():
                part.close()
            self._parts.clear()
        self._conversation.send(frame("leave"))
        self._conversation.close("This host left.")

    def _hear(self, message: Json) -> None:
        operations: dict[str, Callable[[Json], None]] = {
            "welcome": self._welcome,
            "refused": self._refused,
            "prepare": self._prepare,
            "probe": self._probe,
            "start": self._start,
            "stop": lambda message: self._end_part(said(Stop, message).group),
            "beat": lambda _: None,
        }
        operation = operations.get(str(message.get("op")))
        if operation is None:
            raise ValueError(f"{message.get('op')!r:.40} is nothing that a head says")
        operation(message)

    def _welcome(self, message: Json) -> None:
        self.was_welcome = True
        self._on_event("Joined; waiting for the head to form the group.")

    def _refused(self, message: Json) -> None:
        refusal = said(Refusal, message)
        self._refusal = JoinRefused(refusal.message, remedy=refusal.remedy)
        self._conversation.close(refusal.message)

    def _prepare(self, message: Json) -> None:
        order, own = said(Prepare, message), self._settings
        self._end_part(order.group)
        try:
            self._check_room(len(order.ranks))
            part = self._parts[order.group] = Part(
                order,
                find=own.find,
                slices=own.slices,
                budget=own.budget,
                call=lambda hello: _connected(own, hello),
                on_news=lambda news: self._conversation.send(frame("rank", news)),
                on_event=self._on_event,
            )
        except ClusterError as error:
            told = f"{error} {error.remedy}".strip()
            self._on_event(told)
            self._conversation.send(frame("unable", Unable(group=order.group, message=told)))
            return
        ports = tuple(RankPort(rank=rank, port=port) for rank, port in part.ports.items())
        self._conversation.send(frame("prepared", Prepared(group=order.group, ports=ports)))

    def _probe(self, message: Json) -> None:
        order = said(Probe, message)
        self._prepared(order.group).probe(order)

    def _start(self, message: Json) -> None:
        formation = said(Start, message).formation
        self._prepared(formation.roster.group_id).start(formation)

    def _prepared(self, group: str) -> Part:
        """Raises ``ValueError`` for a group that the head has not asked ranks for."""
        part = self._parts.get(group)
        if part is None:
            raise ValueError("ranks were to act that had not been prepared")
        return part

    def _check_room(self, ranks: int) -> None:
        """Raises ``ClusterError`` when more ranks are to run here than this host offers."""
        taken = sum(part.size for part in list(self._parts.values()))
        if taken + ranks > self._settings.ranks:
            raise ClusterError(
                f"It offers {self._settings.ranks} ranks, of which {taken} are taken; "
                f"{ranks} more were asked for."
            )

    def _end_part(self, group: str) -> None:
        with self._turn:
            part = self._parts.pop(group, None)
            if part is not None:
                part.close()

    def _beat(self) -> Beat:
        parts = list(self._parts.values())
        return Beat(
            memory_used_bytes=int(psutil.virtual_memory().used),
            ranks=tuple(one for part in parts for one in part.vitals),
        )

    def _end(self, cause: str) -> None:
        self.cause = cause
        self._ended.set()
