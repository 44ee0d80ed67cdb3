"""What the System page shows: the machine, memory, models, speed, limits, how to connect."""

from __future__ import annotations

from dataclasses import fields

from starlette.requests import Request
from starlette.responses import Response

import banyan
from banyan.core.context import Context
from banyan.core.settings import Settings
from banyan.server.served import served
from banyan.server.site import Site, site_of
from banyan.server.wire import reply

_LIMITS = ("max_", "request_timeout_s", "parse_", "idle_unload_s", "kv_cache_bytes")


async def status(request: Request) -> Response:
    site = site_of(request)
    return reply(await site.call(request, lambda context: _status(site, request, context)))


def _status(site: Site, request: Request, context: Context) -> dict[str, object]:
    app = site.app
    return {
        **app.status(),
        "version": banyan.__version__,
        "models": served(site, context),
        "answer_model": app.answer_model,
        "bases": app.library.bases(context),
        "limits": limits(site.settings),
        "requests": {"streams": site.streams.pending, "calls": site.calls.pending},
        "snippet": {
            "base_url": f"{request.url.scheme}://{request.url.netloc}/v1",
            "model": site.settings.chat_model,
            "key_needed": site.access.required,
        },
    }


def limits(settings: Settings) -> dict[str, object]:
    """Every setting that bounds something, by its name."""
    return {
        entry.name: getattr(settings, entry.name)
        for entry in fields(settings)
        if entry.name.startswith(_LIMITS)
    }
