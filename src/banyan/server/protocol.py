"""HTTP/1.1 on one connection, with the bounds uvicorn leaves open.

A connection must send a whole request head soon, must read what it is sent, and is one of a
bounded number. What cannot be parsed is answered in the product's shape of failure.
"""

from __future__ import annotations

import asyncio
from typing import cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from banyan.core.errors import InputError
from banyan.server.errors import product_body
from banyan.server.wire import to_bytes

HEAD_TIMEOUT_S = 15.0
"""Time for a request's head: the first one from connecting, a later one from its first byte."""

STALL_TIMEOUT_S = 30.0
"""Time a full write buffer may wait for a client that does not read."""


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol with timers for slow heads and stalled readers."""

    max_connections = 512

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self._stalled: asyncio.TimerHandle | None = None
        self._head: asyncio.TimerHandle | None = None
        self._await_head()
        if len(self.connections) > self.max_connections:
            self.logger.warning("More than %d connections; one is refused.", self.max_connections)
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head, self._stalled):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._await_head()
        elif self._head is not None:
            self._head.cancel()
            self._head = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(STALL_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        body = to_bytes(product_body(InputError("That is not a valid HTTP request.")))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        events = (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )
        for event in events:
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _await_head(self) -> None:
        """Give the head that has begun (or the first, which has not) a limited time."""
        if self._head is None:
            self._head = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.abort)
