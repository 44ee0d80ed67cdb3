"""The HTTP server: every route in one list, and how it is served.

Read the list; each handler's file says the rest. ``docs/reference/http.md`` is the contract, and a
test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from banyan.core.errors import BanyanError
from banyan.core.settings import Settings
from banyan.server.access import Access
from banyan.server.errors import handle
from banyan.server.guard import Guard
from banyan.server.keys import KeyRing
from banyan.server.pool import Pool
from banyan.server.routes import (
    ask,
    bases,
    chat,
    cluster,
    documents,
    jobs,
    models,
    session,
    status,
    v1_chat,
    v1_completions,
    v1_embeddings,
    v1_models,
)
from banyan.server.running import listen, run, url_of
from banyan.server.security import HostRules, further_hosts, is_loopback
from banyan.server.site import Mode, Site

if TYPE_CHECKING:
    from banyan.app import App

CONSOLE = Path(__file__).parent / "console"


async def console(request: Request) -> Response:
    """The console's page; it has no data in it."""
    return FileResponse(CONSOLE / "index.html", headers={"cache-control": "no-cache"})


V1_ROUTES: Sequence[BaseRoute] = (
    Route("/api/health", session.health),
    Route("/v1/models", v1_models.list_models),
    Route("/v1/models/{model:path}", v1_models.get_model),
    Route("/v1/chat/completions", v1_chat.chat_completions, methods=["POST"]),
    Route("/v1/completions", v1_completions.completions, methods=["POST"]),
    Route("/v1/embeddings", v1_embeddings.embeddings, methods=["POST"]),
    Route("/api/cluster", cluster.cluster),
)

ROUTES: Sequence[BaseRoute] = (
    *V1_ROUTES,
    Route("/api/session", session.session),
    Route("/api/login", session.login, methods=["POST"]),
    Route("/api/logout", session.logout, methods=["POST"]),
    Route("/api/status", status.status),
    Route("/api/models", models.list_models),
    Route("/api/models/pull", models.pull, methods=["POST"]),
    Route("/api/models/connect", models.connect, methods=["POST"]),
    Route("/api/models/answer", models.choose_answer_model, methods=["POST"]),
    Route("/api/models/discover", models.discover, methods=["POST"]),
    Route("/api/models/{name:path}", models.remove, methods=["DELETE"]),
    Route("/api/bases", bases.list_bases, methods=["GET"]),
    Route("/api/bases", bases.create_base, methods=["POST"]),
    Route("/api/bases/{base}", bases.remove_base, methods=["DELETE"]),
    Route("/api/bases/{base}/documents", documents.list_documents),
    Route("/api/bases/{base}/files", documents.upload, methods=["PUT"]),
    Route("/api/bases/{base}/jobs", jobs.list_jobs),
    Route("/api/bases/{base}/jobs/events", jobs.watch_jobs),
    Route("/api/bases/{base}/questions", ask.questions),
    Route("/api/documents/{document}", documents.get_document, methods=["GET"]),
    Route("/api/documents/{document}", documents.delete_document, methods=["DELETE"]),
    Route("/api/passages/{passage}", documents.get_passage),
    Route("/api/search", ask.search, methods=["POST"]),
    Route("/api/ask", ask.ask, methods=["POST"]),
    Route("/api/traces/{trace}", ask.trace),
    Route("/api/chat", chat.chat, methods=["POST"]),
    Route("/", console),
    Mount("/static", StaticFiles(directory=CONSOLE, check_dir=False)),
)


def keys_required(settings: Settings) -> bool:
    """Whether a key is demanded: wherever anybody but this machine's users may reach the server."""
    names = further_hosts(settings.allowed_hosts)
    return not is_loopback(settings.host) or any(not is_loopback(name) for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the server listens. ``new_key`` is the first key, made just now and shown only here."""

    url: str
    new_key: str | None


def build_app(
    app: App, settings: Settings, *, mode: Mode = "all", model: str | None = None
) -> Starlette:
    """The ASGI application: every route, or ``/v1`` and health alone.

    ``settings`` may differ from the app's own in host, port, allowed hosts and limits. ``model``
    is the only one served, where one is named.
    """
    site = Site(
        app=app,
        settings=settings,
        access=Access(_key_ring(settings), required=keys_required(settings)),
        streams=Pool(
            threads=settings.max_streams,
            waiting=0,
            limit=f"max_streams = {settings.max_streams}",
        ),
        mode=mode,
        model=model,
    )
    hosts = HostRules.of(settings.host, settings.allowed_hosts)
    application = Starlette(
        routes=list(ROUTES if mode == "all" else V1_ROUTES),
        middleware=[Middleware(Guard, hosts=hosts, access=site.access)],
        exception_handlers={BanyanError: handle, HTTPException: handle},
    )
    application.state.site = site
    return application


def serve(
    app: App,
    *,
    host: str | None = None,
    port: int | None = None,
    mode: Mode = "all",
    model: str | None = None,
    ready: Callable[[Address], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then return; the caller closes ``app``.

    Host and port are those of ``app.settings`` unless given (port 0: a free one). ``ready`` is
    called once the server accepts connections. Raises ``Conflict`` when the port is taken and
    ``InputError`` for an address that is not this machine's.
    """
    settings = replace(
        app.settings,
        host=app.settings.host if host is None else host,
        port=app.settings.port if port is None else port,
    )
    application = build_app(app, settings, mode=mode, model=model)
    listener = listen(settings.host, settings.port)
    address = Address(url=url_of(listener, settings.host), new_key=_first_key(settings))
    run(
        application,
        application.state.site,
        listener,
        lambda: ready(address) if ready is not None else None,
    )


def _key_ring(settings: Settings) -> KeyRing:
    return KeyRing(settings.home / "keys.json")


def _first_key(settings: Settings) -> str | None:
    ring = _key_ring(settings)
    return ring.add("first") if keys_required(settings) and not ring.keys() else None
