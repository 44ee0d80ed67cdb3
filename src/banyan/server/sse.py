"""Server-sent events: a response that notices when its client has left.

WHATWG HTML, section 9.2. Only ``data:`` lines and comments are used. A client that
stopped reading is cut by ``protocol.py``, and is then one that has left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from banyan.core.errors import BanyanError
from banyan.server.wire import to_bytes

HEARTBEAT_S = 15.0
"""Silence after which a comment is sent, so that proxies keep the line and dead ones show."""

START_WAIT_S = 10.0
"""How long the status line waits for the first event, so that an early error can still be one."""

HEARTBEAT = b": still working\n\n"

DONE = b"data: [DONE]\n\n"
"""How OpenAI's streams end."""


def frame(data: object) -> bytes:
    """One event carrying ``data`` as JSON."""
    return b"data: " + to_bytes(data) + b"\n\n"


async def client_left(receive: Receive) -> None:
    """Return once the client has closed its connection (any unread body is discarded)."""
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """Sends frames as they come.

    ``leave`` is called exactly once, when the client has left or everything has been sent. An
    error before the first frame is raised, and becomes an ordinary error response; a later one is
    sent as ``failure(error)``, the last frame.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: AsyncIterator[bytes],
        *,
        leave: Callable[[], None],
        failure: Callable[[BanyanError], bytes],
    ) -> None:
        self._frames = frames
        self._leave = leave
        self._failure = failure
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writing = asyncio.ensure_future(self._write(send))
        leaving = asyncio.ensure_future(client_left(receive))
        try:
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            finished = writing.done()
            writing.cancel()
            leaving.cancel()
            try:
                await asyncio.gather(writing, leaving, return_exceptions=True)
            finally:
                self._leave()
        if finished:
            writing.result()

    async def _write(self, send: Send) -> None:
        started = False
        upcoming = asyncio.ensure_future(self._next())
        try:
            await asyncio.wait({upcoming}, timeout=START_WAIT_S)
            if upcoming.done():
                upcoming.result()
            await self._start(send)
            started = True
            while (data := await self._upcoming(upcoming, send)) is not None:
                await self._send(send, data)
                upcoming = asyncio.ensure_future(self._next())
        except BanyanError as error:
            if not started:
                raise
            await self._send(send, self._failure(error))
        finally:
            upcoming.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _next(self) -> bytes | None:
        return await anext(self._frames, None)

    async def _upcoming(self, upcoming: asyncio.Future[bytes | None], send: Send) -> bytes | None:
        while not (await asyncio.wait({upcoming}, timeout=HEARTBEAT_S))[0]:
            await self._send(send, HEARTBEAT)
        return upcoming.result()

    async def _start(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )

    async def _send(self, send: Send, data: bytes) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": True})
