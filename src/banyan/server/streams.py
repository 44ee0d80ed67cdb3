"""A generator of events as a response of the product's API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

from banyan.core.context import Context
from banyan.core.events import Event, to_json
from banyan.server.errors import product_failure
from banyan.server.pool import Stream
from banyan.server.site import Site
from banyan.server.sse import EventStream, frame


def product_stream(
    site: Site, context: Context, work: Callable[[Context], Iterator[Event]]
) -> EventStream:
    """Run ``work(context)`` and send its events; an error before the first is an error response."""
    stream = site.stream(context, work)
    return EventStream(_frames(stream), leave=stream.leave, failure=product_failure)


async def _frames(stream: Stream[Event]) -> AsyncIterator[bytes]:
    async for event in stream:
        yield frame(to_json(event))
