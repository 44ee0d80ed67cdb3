"""Knowledge bases: list, create, remove."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from banyan.server.body import read
from banyan.server.schemas import NewBase
from banyan.server.site import site_of
from banyan.server.wire import reply


async def list_bases(request: Request) -> Response:
    site = site_of(request)
    return reply({"bases": await site.call(request, site.app.library.bases)})


async def create_base(request: Request) -> Response:
    site = site_of(request)
    body = await read(request, NewBase, limit=site.settings.max_body_bytes)
    library = site.app.library
    base = await site.call(
        request, lambda context: library.create_base(body.id, body.title, context)
    )
    return reply(base, status=201)


async def remove_base(request: Request) -> Response:
    site, base_id = site_of(request), request.path_params["base"]
    library = site.app.library
    await site.call(request, lambda context: library.remove_base(base_id, context))
    return reply({"removed": base_id})
