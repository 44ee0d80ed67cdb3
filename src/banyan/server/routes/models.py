"""Models: what is here, what could be, pulling, connecting, choosing, removing."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from banyan.core.context import Context
from banyan.models.catalogue import catalogue
from banyan.models.records import CatalogueEntry
from banyan.server.body import read
from banyan.server.schemas import AnswerModel, Connect, Nothing, Pull
from banyan.server.served import check_served, served
from banyan.server.site import Site, site_of
from banyan.server.streams import product_stream
from banyan.server.wire import reply


async def list_models(request: Request) -> Response:
    site = site_of(request)
    return reply(await site.call(request, lambda context: _shelf(site, context)))


async def pull(request: Request) -> Response:
    """Events: progress ..., then model_ready (or failed). Leaving stops it; it can be resumed."""
    site = site_of(request)
    body = await read(request, Pull, limit=site.settings.max_body_bytes)
    store = site.app.store
    return product_stream(
        site,
        site.context(request, timeout_s=0),
        lambda context: store.pull(body.name, context, accept_licence=body.accept_licence),
    )


async def connect(request: Request) -> Response:
    """Register an OpenAI-compatible server after a test call to it."""
    site = site_of(request)
    body = await read(request, Connect, limit=site.settings.max_body_bytes)

    connections = site.app.connections
    return reply(
        await site.call(
            request,
            lambda context: connections.add(body.url, context, model=body.model, key=body.key),
        )
    )


async def discover(request: Request) -> Response:
    """Look for model servers on this machine's usual ports; only when asked."""
    site = site_of(request)
    await read(request, Nothing, limit=site.settings.max_body_bytes)
    return reply({"found": await site.call(request, site.app.connections.discover)})


async def choose_answer_model(request: Request) -> Response:
    site = site_of(request)
    body = await read(request, AnswerModel, limit=site.settings.max_body_bytes)

    def choose(context: Context) -> None:
        site.app.set_answer_model(check_served(site, body.name, "chat") if body.name else "")

    await site.call(request, choose)
    return reply({"answer_model": site.app.answer_model})


async def remove(request: Request) -> Response:
    site, name = site_of(request), request.path_params["name"]
    await site.call(request, lambda context: site.app.remove_model(name, context))
    return reply({"removed": name})


def _shelf(site: Site, context: Context) -> dict[str, object]:
    app = site.app
    return {
        "models": served(site, context),
        "catalogue": [_offer(entry) for entry in catalogue().values()],
        "connections": [connection.public() for connection in app.connections.list()],
        "answer_model": app.answer_model,
    }


def _offer(entry: CatalogueEntry) -> dict[str, object]:
    return {
        "name": entry.name,
        "kind": entry.kind,
        "note": entry.purpose,
        "licence": entry.licence,
        "terms": entry.terms,
        "terms_url": entry.terms_url,
        "source": entry.source,
        "context_length": entry.context_length,
        "size_bytes": entry.size_bytes,
        "default": entry.default,
        "bundled": bool(entry.bundled),
    }
