"""Questions: search, ask (streamed), suggestions, traces."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from banyan.core.context import Context
from banyan.core.errors import LimitExceeded
from banyan.server.body import read
from banyan.server.schemas import Ask, Search
from banyan.server.site import Site, site_of
from banyan.server.streams import product_stream
from banyan.server.wire import reply


async def search(request: Request) -> Response:
    """The passages alone; the trace is that of the search."""
    site = site_of(request)
    body = await read(request, Search, limit=site.settings.max_body_bytes)
    check_question(site, body.question)
    library = site.app.library

    def work(context: Context) -> dict[str, object]:
        passages = library.search(body.question, body.base, context, k=body.k)
        return {"passages": passages, "trace_id": context.trace.id}

    return reply(await site.call(request, work, base_id=body.base))


async def ask(request: Request) -> Response:
    """Events: passages_found, sentence_ready or refused, then answer_done (or failed)."""
    site = site_of(request)
    body = await read(request, Ask, limit=site.settings.max_body_bytes)
    check_question(site, body.question)
    library = site.app.library
    return product_stream(
        site,
        site.context(request, base_id=body.base),
        lambda context: library.ask(
            body.question,
            body.base,
            context,
            conversation_id=body.conversation_id,
            mode=body.mode,
        ),
    )


async def questions(request: Request) -> Response:
    """Questions this base, or one document of it, can answer."""
    site, base_id = site_of(request), request.path_params["base"]
    document_id = request.query_params.get("document") or None
    library = site.app.library
    found = await site.call(
        request, lambda context: library.suggest(base_id, context, document_id=document_id)
    )
    return reply({"questions": found})


async def trace(request: Request) -> Response:
    site, trace_id = site_of(request), request.path_params["trace"]
    library = site.app.library
    return reply(await site.call(request, lambda context: library.trace(trace_id, context)))


def check_question(site: Site, question: str) -> None:
    """Raise ``LimitExceeded`` for a question over ``max_question_chars``."""
    allowed = site.settings.max_question_chars
    if len(question) > allowed:
        raise LimitExceeded(
            "The question's length",
            limit="max_question_chars",
            value=len(question),
            allowed=allowed,
        )
