"""Files on their way into a base: as a list, and as a stream of lists whenever one changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from banyan.core.errors import Overloaded
from banyan.knowledge.records import Job
from banyan.server.errors import product_failure
from banyan.server.site import Site, site_of
from banyan.server.sse import EventStream, frame
from banyan.server.wire import reply

POLL_S = 0.4
IDLE_POLL_S = 2.0
"""How often the jobs are looked at while some are under way, and while none is."""

MAX_WATCHERS = 64


async def list_jobs(request: Request) -> Response:
    site, base_id = site_of(request), request.path_params["base"]
    library = site.app.library
    jobs = await site.call(request, lambda context: library.jobs(base_id, context))
    return reply({"jobs": jobs})


async def watch_jobs(request: Request) -> Response:
    """``{"type": "jobs", "jobs": [...]}`` at once, and again on every change."""
    site, base_id = site_of(request), request.path_params["base"]
    if len(site.watchers) >= MAX_WATCHERS:
        raise Overloaded(
            f"{MAX_WATCHERS} clients watch jobs already (MAX_WATCHERS).",
            remedy="Close a window of the console.",
        )
    watcher = object()
    site.watchers.add(watcher)
    return EventStream(
        _frames(site, request, base_id),
        leave=lambda: site.watchers.discard(watcher),
        failure=product_failure,
    )


async def _frames(site: Site, request: Request, base_id: str) -> AsyncIterator[bytes]:
    shown: Sequence[Job] | None = None
    while not site.stopping.is_set():
        context = site.context(request, base_id=base_id)
        jobs = await site.calls.call(partial(site.app.library.jobs, base_id, context))
        if jobs != shown:
            yield frame({"type": "jobs", "jobs": jobs})
            shown = jobs
        await _pause(site.stopping, POLL_S if _busy(jobs) else IDLE_POLL_S)


def _busy(jobs: Sequence[Job]) -> bool:
    return any(job.state in ("waiting", "working") for job in jobs)


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        pass
