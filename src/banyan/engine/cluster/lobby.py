"""Lobby: where hosts join. It listens, turns away strangers, and keeps who is here.

Everything that connects must prove that it knows the join token before a byte of it is read;
``MAX_HANDSHAKES`` may be trying at a time, ``MAX_FROM_ONE`` of them from one address, each for a
few seconds.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from banyan.core.errors import ClusterError, HostUnreachable
from banyan.engine.cluster.control import CALLS, CONTROL, SLICE, Conversation
from banyan.engine.cluster.frames import Beat, Hello, HostReport, Refusal, frame, said
from banyan.engine.comm import handshake
from banyan.engine.comm.certificate import fingerprint_of_pem
from banyan.engine.comm.stream import Stream
from banyan.engine.comm.tls import accepting
from banyan.engine.comm.tls_stream import TlsStream
from banyan.engine.wire import Json

MAX_HANDSHAKES: Final = 32
MAX_FROM_ONE: Final = 8
HEAD_NAME: Final = "head"
RENAME: Final = "Give this one another name with --name, or end the other one first."
REST_S: Final = 0.1
"""Pause after a connection could not be taken, for instance for want of descriptors."""


@dataclass(slots=True, eq=False, kw_only=True)
class Guest:
    """A host that has joined; ``lost`` says why it has gone."""

    report: HostReport
    address: str
    conversation: Conversation
    lost: str = ""
    beat: Beat = Beat()

    def __str__(self) -> str:
        return f"Host {self.report.name} ({self.address})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """What the lobby tells: from its own threads, one guest's frames in order."""

    on_join: Callable[[Guest], None]
    on_frame: Callable[[Guest, Json], None]
    on_lost: Callable[[Guest, str], None]
    on_slice: Callable[[Stream, handshake.Hello], None]
    on_calls: Callable[[Stream, handshake.Hello], None]


class _Places:
    """Places for those who are trying to come in."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, address: str) -> bool:
        """Whether there is one for who comes from there, and has it from now on."""
        with self._lock:
            is_free = self._taken.total() < MAX_HANDSHAKES and self._taken[address] < MAX_FROM_ONE
            if is_free:
                self._taken[address] += 1
            return is_free

    def give_back(self, address: str) -> None:
        with self._lock:
            self._taken[address] -= 1
            self._taken += Counter()  # forgets who has none


class Lobby:
    """``expected`` hosts have room, those of ``names`` where any are given. With ``pem``, a key and
    its certificate, only hosts that use TLS are heard."""

    def __init__(
        self,
        where: tuple[str, int],
        token: str,
        expected: int,
        callbacks: Callbacks,
        *,
        names: Sequence[str] = (),
        pem: str = "",
    ) -> None:
        """Listen at ``where``: address and port. Raises ``HostUnreachable``, and ``ClusterError``
        for a certificate that is none."""
        self.expected = expected
        self._names = names
        self._dealt: Mapping[str, int] = {}
        self._token = token.encode()
        self._callbacks = callbacks
        self._guests: dict[str, Guest] = {}
        self._lock = threading.Lock()
        self._places = _Places()
        self._closed = False
        self._tls: ssl.SSLContext | None = accepting(pem) if pem else None
        self._certificate = fingerprint_of_pem(pem) if pem else ""
        try:
            self._listener = socket.create_server(where, backlog=64)
        except (OSError, OverflowError) as error:
            raise HostUnreachable(
                f"Hosts cannot join at {where[0]}:{where[1]}: {error}.",
                remedy="Choose another --cluster-port, or the address of this machine.",
            ) from None
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._listen, name="cluster lobby", daemon=True).start()

    @property
    def guests(self) -> list[Guest]:
        """In the order they came."""
        with self._lock:
            return list(self._guests.values())

    def expect(self, dealt: Mapping[str, int]) -> None:
        """From now on only these hosts have room, with so many ranks each."""
        with self._lock:
            self._names, self._dealt = tuple(dealt), dealt

    def close(self) -> None:
        self._closed = True
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # ends an accept that is under way
        except OSError:
            pass  # not everywhere is a listener "connected"
        self._listener.close()
        for guest in self.guests:
            guest.conversation.close("The head was closed.")

    def enter(self, guest: Guest) -> Refusal | None:
        """Take a guest in, or say why not. One that comes back takes its former place."""
        name = guest.report.name
        with self._lock:
            former = self._guests.get(name)
            is_back = former is not None and former.report.instance == guest.report.instance != ""
            if name == HEAD_NAME or (former is not None and not is_back):
                return Refusal(message=f"A host named {name!r} is here already.", remedy=RENAME)
            if self._names and name not in self._names:
                listed = ", ".join(self._names)
                return Refusal(
                    message=f"No host named {name!r} is awaited.",
                    remedy=f"Give it the name it is awaited by with --name: {listed}.",
                )
            due = self._dealt.get(name, guest.report.ranks)
            if due != guest.report.ranks:
                return Refusal(
                    message=f"Host {name!r} was dealt {due} ranks; it offers {guest.report.ranks}.",
                    remedy=f"Give it --ranks {due}, or start the head again.",
                )
            if former is None and len(self._guests) >= self.expected:
                return Refusal(
                    message=f"All {self.expected} hosts are here already.",
                    remedy="Start the head for more of them (--workers, or the hosts file).",
                )
            self._guests[name] = guest
        if former is not None:
            former.conversation.close("It has come back over another connection.")
        return None

    def welcome(self, guest: Guest) -> None:
        guest.conversation.send(frame("welcome"))
        self._callbacks.on_join(guest)

    def hear(self, guest: Guest, message: Json) -> None:
        self._callbacks.on_frame(guest, message)

    def leave(self, guest: Guest, cause: str) -> None:
        with self._lock:
            guest.lost = cause
            if self._guests.get(guest.report.name) is guest:
                del self._guests[guest.report.name]
        self._callbacks.on_lost(guest, cause)

    def _listen(self) -> None:
        while not self._closed:
            try:
                connection, address = self._listener.accept()
            except OSError:
                time.sleep(REST_S)  # closed, or for the moment no connection can be taken
                continue
            arguments = (connection, str(address[0]))
            if not self._places.take(arguments[1]):
                connection.close()
                continue
            threading.Thread(target=self._admit, args=arguments, daemon=True).start()

    def _admit(self, connection: socket.socket, address: str) -> None:
        try:
            stream, hello = self._proven(connection)
        except ClusterError:
            connection.close()
            return
        finally:
            self._places.give_back(address)
        if self._closed:
            stream.close()
        elif hello.get("purpose") == CONTROL:
            _Entrance(self, stream, address).open()
        elif hello.get("purpose") == SLICE:
            with contextlib.closing(stream):
                self._callbacks.on_slice(stream, hello)
        elif hello.get("purpose") == CALLS:
            self._callbacks.on_calls(stream, hello)
        else:
            stream.close()

    def _proven(self, connection: socket.socket) -> tuple[Stream, handshake.Hello]:
        """Someone who knows the token, and what it says of itself."""
        stream = connection if self._tls is None else TlsStream.accept(connection, self._tls)
        return stream, handshake.accept(stream, self._token, certificate=self._certificate)


class _Entrance:
    """A control connection from its first frame on."""

    def __init__(self, lobby: Lobby, connection: Stream, address: str) -> None:
        self._lobby = lobby
        self._address = address
        self._guest: Guest | None = None
        self._conversation = Conversation(connection, self._hear, self._end)

    def open(self) -> None:
        self._conversation.run()

    def _hear(self, message: Json) -> None:
        if self._guest is not None:
            self._lobby.hear(self._guest, message)
            return
        if message.get("op") != "hello":
            raise ValueError(f"{message.get('op')!r:.40} was said where 'hello' was due.")
        report = said(Hello, message).report
        guest = Guest(report=report, address=self._address, conversation=self._conversation)
        refusal = self._lobby.enter(guest)
        if refusal is not None:
            self._conversation.send(frame("refused", refusal))
            self._conversation.close(refusal.message)
            return
        self._guest = guest
        self._lobby.welcome(guest)

    def _end(self, cause: str) -> None:
        if self._guest is not None:
            self._lobby.leave(self._guest, cause)
