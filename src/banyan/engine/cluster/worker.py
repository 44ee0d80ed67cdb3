"""Worker: a host that has joined a head: it starts the ranks it is told to, watches them, and comes
back when the head has gone.

    join      connect, prove the token, say what this machine is
    prepare   bind a listener for each of its ranks
    start     find the checkpoint, or fetch the ranks' slices of it; start them
    stop      end them
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from banyan.core.context import Context
from banyan.core.errors import (
    BanyanError,
    CheckpointInvalid,
    HostUnreachable,
    JoinRefused,
    NotFound,
)
from banyan.core.layout import from_json, to_json
from banyan.engine.cluster.control import CONTROL, SLICE, Conversation, expect, report_of
from banyan.engine.cluster.identity import identify
from banyan.engine.cluster.ranks import LocalRanks, RankState
from banyan.engine.cluster.slices import receive_slice, slice_path
from banyan.engine.comm import handshake
from banyan.engine.formation import Formation
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
    ``folder`` keeps slices and the digests of checkpoints."""

    address: str
    port: int
    token: str
    name: str
    ranks: int
    device: str
    folder: Path
    find: Callable[[str], Path]


def join(settings: WorkerSettings, context: Context, on_event: OnEvent) -> None:
    """Serve the head until ``context`` is cancelled; a head that goes is awaited.

    Raises ``HostUnreachable`` when it cannot be reached at first, and ``JoinRefused`` when it does
    not want this host, at any time.
    """
    pause, joined = FIRST_PAUSE_S, False
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
            visit.run(context)
        finally:
            visit.close()
        joined, pause = True, FIRST_PAUSE_S
        if not context.cancel.is_set():
            on_event(f"The head is gone: {visit.cause} Trying to join again.")


def _connected(settings: WorkerSettings, hello: handshake.Hello) -> socket.socket:
    """A proven connection to the head."""
    try:
        connection = socket.create_connection((settings.address, settings.port), timeout=CONNECT_S)
    except OSError as error:
        raise HostUnreachable(
            f"No head answers at {settings.address}:{settings.port}: {error}.",
            remedy="Check address and port as the head prints them, and the firewall between.",
        ) from None
    try:
        handshake.connect(connection, settings.token.encode(), hello)
    except JoinRefused:
        connection.close()
        raise
    return connection


class _Visit:
    """One stay at the head, from the hello to the loss of the connection."""

    def __init__(
        self, settings: WorkerSettings, connection: socket.socket, on_event: OnEvent
    ) -> None:
        self.cause = ""
        self._settings = settings
        self._on_event = on_event
        self._ended = threading.Event()
        self._refusal: JoinRefused | None = None
        self._ranks: LocalRanks | None = None
        self._group_id = ""
        connection.settimeout(None)
        self._conversation = Conversation(connection, self._hear, self._end, self._beat)

    def run(self, context: Context) -> None:
        """Say hello and do what the head says; raises ``JoinRefused``."""
        own = self._settings
        report = report_of(own.name, own.ranks, own.device)
        self._conversation.send({"op": "hello", "report": to_json(report)})
        self._conversation.run()
        while not self._ended.wait(POLL_S):
            if context.cancel.is_set():
                return
        if self._refusal is not None:
            raise self._refusal

    def close(self) -> None:
        """Leave; this host's ranks end."""
        self._stop()
        self._conversation.close("The host left.")

    def _hear(self, frame: Json) -> None:
        operations: dict[str, Callable[[Json], None]] = {
            "welcome": lambda _: self._on_event("Joined; waiting for the head to form the group."),
            "prepare": self._prepare,
            "start": self._start,
            "stop": lambda _: self._stop(),
            "beat": lambda _: None,
        }
        operation = operations.get(str(frame.get("op")))
        try:
            if operation is None:
                expect(frame, "welcome")
            else:
                operation(frame)
        except JoinRefused as refusal:
            self._refusal = refusal
            self._conversation.close(str(refusal))

    def _prepare(self, frame: Json) -> None:
        self._stop()
        self._ranks = LocalRanks(list(map(int, frame["ranks"])), str(frame["address"]), self._note)
        self._conversation.send({"op": "prepared", "ports": self._ranks.ports})

    def _start(self, frame: Json) -> None:
        formation = from_json(Formation, frame["formation"])
        self._group_id = formation.roster.group_id
        ranks = self._ranks
        if ranks is None:
            raise JoinRefused("The head started ranks that it had not prepared.")
        threading.Thread(target=self._start_ranks, args=(formation, ranks), daemon=True).start()

    def _start_ranks(self, formation: Formation, ranks: LocalRanks) -> None:
        for rank in list(ranks.ports):
            try:
                path = self._checkpoint(formation, rank)
                ranks.start(formation, rank, path)
            except (BanyanError, OSError) as error:
                self._note(RankState(rank=rank, state="failed", message=str(error)))
                return

    def _checkpoint(self, formation: Formation, rank: int) -> Path:
        """Where the weights of ``rank`` are on this host: the same checkpoint as the head's, or a
        slice of it, which is fetched if it is not here yet."""
        model, own = formation.model, self._settings
        try:
            path = own.find(model.name)
            here = identify(path, model.name, own.folder)
        except (NotFound, CheckpointInvalid):
            return self._slice(formation, rank)
        if here.digest != model.digest:
            raise JoinRefused(
                f"This host's {model.name} is {here.digest[:12]}, the head's is "
                f"{model.digest[:12]}: they are not the same checkpoint.",
                remedy=f"`banyan models remove {model.name}` here; the head then sends its own.",
            )
        return path

    def _slice(self, formation: Formation, rank: int) -> Path:
        share = formation.layout.share(rank)
        target = slice_path(self._settings.folder, formation.model, share)
        if target.exists():
            return target
        hello: handshake.Hello = {"purpose": SLICE, "group": self._group_id, "rank": rank}
        self._on_event(f"Fetching rank {rank}'s part of {formation.model.name}.")
        shown = [time.monotonic()]

        def progress(done: int, total: int) -> None:
            if time.monotonic() - shown[0] > 1 or done == total:
                shown[0] = time.monotonic()
                self._on_event(f"Rank {rank}: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB")

        with _connected(self._settings, hello) as connection:
            receive_slice(connection, target, progress)
        return target

    def _note(self, state: RankState) -> None:
        self._conversation.send({"op": "rank", "group": self._group_id, "state": to_json(state)})
        said = f": {state.message}" if state.message else ""
        self._on_event(f"Rank {state.rank} {state.state}{said}")

    def _beat(self) -> Json:
        ranks = self._ranks
        return {
            "memory_used_bytes": int(psutil.virtual_memory().used),
            "rss_bytes": {} if ranks is None else ranks.rss_bytes(),
        }

    def _stop(self) -> None:
        ranks, self._ranks = self._ranks, None
        if ranks is not None:
            ranks.close()

    def _end(self, cause: str) -> None:
        self.cause = cause
        self._ended.set()
