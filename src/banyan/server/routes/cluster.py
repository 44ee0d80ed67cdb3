"""Who computes together, for the console and for ``banyan cluster status``."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response

from banyan.server.site import site_of
from banyan.server.wire import reply


async def cluster(request: Request) -> Response:
    """``{"cluster": null}`` where the model runs on one machine."""
    spread = site_of(request).app.cluster
    return reply({"cluster": None if spread is None else asdict(spread.status())})
