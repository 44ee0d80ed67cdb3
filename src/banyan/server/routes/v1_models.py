"""``/v1/models``: every model that answers, knowledge bases among them."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response

from banyan.core.types import ModelInfo
from banyan.server.served import served, unknown
from banyan.server.site import site_of
from banyan.server.wire import reply

_STARTED = int(time.time())


async def list_models(request: Request) -> Response:
    site = site_of(request)
    models = await site.call(request, lambda context: served(site, context))
    return reply({"object": "list", "data": [_model(info) for info in models]})


async def get_model(request: Request) -> Response:
    site, name = site_of(request), request.path_params["model"]
    models = await site.call(request, lambda context: served(site, context))
    for info in models:
        if info.name == name:
            return reply(_model(info))
    raise unknown(name, [info.name for info in models])


def _model(info: ModelInfo) -> dict[str, object]:
    return {
        "id": info.name,
        "object": "model",
        "created": _STARTED,
        "owned_by": info.owner,
        "kind": info.kind,
        "state": info.state,
        "context_length": info.context_length,
    }
