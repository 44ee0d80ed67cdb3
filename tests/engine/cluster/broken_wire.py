"""A wire between a host and the head that can be listened to, be cut, or let every byte vanish."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from types import TracebackType


class Wire:
    """Listens at ``port`` and passes on to ``target``; ``heard`` is what went over it."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.heard = bytearray()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._vanishing = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.heal()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for pair in self._pairs:
            for end in pair:
                _end(end)

    def swallow(self) -> None:
        """From now on nothing arrives, and nobody is told."""
        self._vanishing.set()

    def heal(self) -> None:
        self._vanishing.clear()

    def hang_up_on_host(self) -> None:
        """The host sees every connection end; the head sees only silence."""
        for outside, _ in self._pairs:
            with contextlib.suppress(OSError):
                outside.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        while True:
            try:
                outside, _ = self._listener.accept()
            except OSError:
                return
            inside = socket.create_connection(("127.0.0.1", self._target))
            self._pairs.append((outside, inside))
            threading.Thread(target=self._carry, args=(outside, inside), daemon=True).start()

    def _carry(self, outside: socket.socket, inside: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(outside, selectors.EVENT_READ, inside)
            selector.register(inside, selectors.EVENT_READ, outside)
            with contextlib.suppress(OSError, ValueError):  # closed at the end of the test
                while True:
                    for key, _ in selector.select():
                        data = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]  # a socket
                        if not data:
                            if key.fileobj is inside and not self._vanishing.is_set():
                                _end(outside)
                            return  # the head is never told
                        self.heard += data
                        if not self._vanishing.is_set():
                            key.data.sendall(data)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
