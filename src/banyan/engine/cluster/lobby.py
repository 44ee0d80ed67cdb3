"""Lobby: where hosts join. It listens, turns away strangers, and keeps who is here.

Everything that connects must prove that it knows the join token before a byte of it is read;
``MAX_HANDSHAKES`` may be trying at a time, each for a few seconds.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from banyan.core.errors import HostUnreachable, JoinRefused
from banyan.core.layout import from_json
from banyan.engine.cluster.control import CONTROL, SLICE, Conversation, HostReport, expect
from banyan.engine.comm import handshake
from banyan.engine.wire import Json

MAX_HANDSHAKES: Final = 32
HEAD_NAME: Final = "head"


@dataclass(slots=True, eq=False, kw_only=True)
class Guest:
    """A host that has joined. ``number`` is its place in the formation it is part of."""

    report: HostReport
    address: str
    conversation: Conversation
    number: int = 0
    ports: dict[int, int] = field(default_factory=dict)
    memory_used_bytes: int = 0
    rss_bytes: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """What the lobby tells: from its own threads, one guest's frames in order."""

    on_join: Callable[[Guest], None]
    on_frame: Callable[[Guest, Json], None]
    on_lost: Callable[[Guest, str], None]
    on_slice: Callable[[socket.socket, handshake.Hello], None]


class Lobby:
    """``expected`` hosts have room."""

    def __init__(
        self, address: str, port: int, token: str, expected: int, callbacks: Callbacks
    ) -> None:
        self.expected = expected
        self._token = token.encode()
        self._callbacks = callbacks
        self._guests: dict[str, Guest] = {}
        self._lock = threading.Lock()
        self._places = threading.Semaphore(MAX_HANDSHAKES)
        try:
            self._listener = socket.create_server((address, port), backlog=64)
        except OSError as error:
            raise HostUnreachable(
                f"Hosts cannot join at {address}:{port}: {error.strerror}.",
                remedy="Choose another --cluster-port, or the address of this machine.",
            ) from None
        threading.Thread(target=self._listen, name="cluster lobby", daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def guests(self) -> list[Guest]:
        """In the order they came."""
        with self._lock:
            return list(self._guests.values())

    def close(self) -> None:
        self._listener.close()
        for guest in self.guests:
            guest.conversation.close("The head was closed.")

    def _listen(self) -> None:
        while True:
            try:
                connection, address = self._listener.accept()
            except OSError:
                return  # closed
            if not self._places.acquire(blocking=False):
                connection.close()
                continue
            arguments = (connection, str(address[0]))
            threading.Thread(target=self._admit, args=arguments, daemon=True).start()

    def _admit(self, connection: socket.socket, address: str) -> None:
        try:
            hello = handshake.accept(connection, self._token)
        except JoinRefused:
            connection.close()
            return
        finally:
            self._places.release()
        if hello.get("purpose") == CONTROL:
            _Entrance(self, connection, address).open()
        elif hello.get("purpose") == SLICE:
            with connection:
                self._callbacks.on_slice(connection, hello)
        else:
            connection.close()

    def enter(self, guest: Guest) -> str:
        """Take a guest in, or say why not."""
        with self._lock:
            if guest.report.name in self._guests or guest.report.name == HEAD_NAME:
                return f"A host named {guest.report.name!r} is here already."
            if len(self._guests) >= self.expected:
                return f"All {self.expected} hosts are here already."
            self._guests[guest.report.name] = guest
        return ""

    def leave(self, guest: Guest, cause: str) -> None:
        with self._lock:
            if self._guests.get(guest.report.name) is guest:
                del self._guests[guest.report.name]
        self._callbacks.on_lost(guest, cause)

    def welcome(self, guest: Guest) -> None:
        guest.conversation.send({"op": "welcome"})
        self._callbacks.on_join(guest)

    def hear(self, guest: Guest, frame: Json) -> None:
        self._callbacks.on_frame(guest, frame)


class _Entrance:
    """A control connection from its first frame on."""

    def __init__(self, lobby: Lobby, connection: socket.socket, address: str) -> None:
        self._lobby = lobby
        self._address = address
        self._guest: Guest | None = None
        self._conversation = Conversation(connection, self._hear, self._end)

    def open(self) -> None:
        self._conversation.run()

    def _hear(self, frame: Json) -> None:
        if self._guest is not None:
            self._lobby.hear(self._guest, frame)
            return
        report = from_json(HostReport, expect(frame, "hello")["report"])
        guest = Guest(report=report, address=self._address, conversation=self._conversation)
        refusal = self._lobby.enter(guest)
        if refusal:
            remedy = "Give this one another name with --name, or end the other one first."
            self._conversation.send({"op": "refused", "message": refusal, "remedy": remedy})
            self._conversation.close(refusal)
            return
        self._guest = guest
        self._lobby.welcome(guest)

    def _end(self, cause: str) -> None:
        if self._guest is not None:
            self._lobby.leave(self._guest, cause)
