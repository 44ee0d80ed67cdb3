"""Site: what every route reaches, and how a request's work is run and ended.

One per server. Used on the event loop only; the work itself runs on the pools' threads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

from starlette.requests import Request

from banyan.core.context import Context, Principal
from banyan.core.errors import Cancelled, DeadlineExceeded
from banyan.core.settings import Settings
from banyan.server.access import Access
from banyan.server.conversations import Conversations
from banyan.server.guard import PRINCIPAL
from banyan.server.pool import DEADLINE_GRACE_S, Pool, Stream
from banyan.server.sse import client_left

if TYPE_CHECKING:
    from banyan.app import App

Item = TypeVar("Item")
Result = TypeVar("Result")

CALL_THREADS = 16
CALLS_WAITING = 256
"""Short calls (listings, searches) have threads of their own, so that streams never block them."""

Mode = Literal["all", "v1"]


def _calls() -> Pool:
    return Pool(
        threads=CALL_THREADS, waiting=CALLS_WAITING, limit=f"CALLS_WAITING = {CALLS_WAITING}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The parts of a running server. ``model``: the only one served, where one was named."""

    app: App
    settings: Settings
    access: Access
    streams: Pool
    calls: Pool = field(default_factory=_calls)
    mode: Mode = "all"
    model: str | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    conversations: Conversations = field(default_factory=Conversations)
    watchers: set[object] = field(default_factory=set)

    def context(
        self, request: Request, *, base_id: str | None = None, timeout_s: float | None = None
    ) -> Context:
        """A fresh context of this request's principal; ``timeout_s`` 0 sets no deadline."""
        patience = self.settings.request_timeout_s if timeout_s is None else timeout_s
        return Context(
            principal=principal_of(request),
            base_id=base_id,
            deadline=time.monotonic() + patience if patience else None,
        )

    async def call(
        self, request: Request, work: Callable[[Context], Result], *, base_id: str | None = None
    ) -> Result:
        """Await ``work(context)``, cancelled when the client leaves or its time is over."""
        context = self.context(request, base_id=base_id)
        working = asyncio.ensure_future(self.calls.call(lambda: work(context)))
        leaving = asyncio.ensure_future(client_left(request.receive))
        try:
            await asyncio.wait(
                {working, leaving},
                timeout=self.settings.request_timeout_s + DEADLINE_GRACE_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if working.done():
                return working.result()
            if leaving.done():
                raise Cancelled("The client has left.")
            raise DeadlineExceeded("The request ran past its deadline.")
        finally:
            context.cancel.set()
            working.cancel()
            leaving.cancel()

    def stream(self, context: Context, work: Callable[[Context], Iterator[Item]]) -> Stream[Item]:
        """Begin ``work(context)`` on a thread; raise ``Overloaded`` when all are taken."""
        return Stream(lambda: work(context), context, self.streams)

    async def collect(self, request: Request, stream: Stream[Item]) -> list[Item]:
        """Every item of a stream, which ends when the client leaves."""
        leaving = asyncio.ensure_future(client_left(request.receive))
        leaving.add_done_callback(lambda _: stream.leave())
        try:
            return [item async for item in stream]
        finally:
            leaving.cancel()

    def stop(self) -> None:
        """End every open stream; the server closes its connections afterwards."""
        self.stopping.set()
        self.streams.stop()
        self.calls.stop()


def site_of(request: Request) -> Site:
    """The site of the server that got this request."""
    site: Site = request.app.state.site
    return site


def principal_of(request: Request) -> Principal:
    """Who asks, as the guard found out."""
    principal: Principal = request.scope[PRINCIPAL]
    return principal
