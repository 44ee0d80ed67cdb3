"""``/v1/models``: every model that answers, knowledge bases among them."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response

from banyan.core.context import Context
from banyan.core.errors import UnknownModel
from banyan.core.types import ModelInfo
from banyan.server.grounded import PREFIX
from banyan.server.site import Site, site_of
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
    raise unknown(name)


def served(site: Site, context: Context) -> list[ModelInfo]:
    """What this server answers as: one named model, or all models and the caller's bases."""
    models = [info for info in site.app.models() if info.kind != "base" and info.state != "missing"]
    if site.model is not None:
        alone = ModelInfo(name=site.model, kind="chat", state="ready", owner="local")
        return [next((info for info in models if info.name == site.model), alone)]
    if site.mode == "v1":
        return models
    bases = site.app.library.bases(context)
    return [
        *models,
        *(
            ModelInfo(name=PREFIX + base.id, kind="base", state="ready", note=base.title)
            for base in bases
        ),
    ]


def check_served(site: Site, name: str) -> None:
    """Raise ``UnknownModel`` where one model is served alone and this is another."""
    if site.model is not None and name != site.model:
        raise unknown(name)


def unknown(name: str) -> UnknownModel:
    """The error for a model that is not served here."""
    return UnknownModel(
        f"There is no model {name[:200]!r} here.",
        remedy="GET /v1/models lists what there is.",
    )


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
