"""A base's documents: upload, list, open, delete. Only their text leaves, and only as JSON."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response

from banyan.core.errors import InputError, UnknownBase
from banyan.knowledge.records import Document, DocumentRecord
from banyan.server.site import Site, site_of
from banyan.server.uploads import discard, display_name, save
from banyan.server.wire import reply


async def list_documents(request: Request) -> Response:
    site, base_id = site_of(request), request.path_params["base"]
    library = site.app.library
    found = await site.call(request, lambda context: library.documents(base_id, context))
    return reply({"documents": found})


async def upload(request: Request) -> Response:
    """Save the body and queue it; the ingest worker does the rest (202)."""
    site, base_id = site_of(request), request.path_params["base"]
    settings, library = site.settings, site.app.library
    given = request.query_params.get("name", "")
    if not given:
        raise InputError("The file needs a name.", remedy="Add ?name=report.pdf.", field="name")
    name = display_name(given)
    await _check_base(site, request, base_id)
    path = await save(
        request,
        settings.home / "inbox",
        name,
        limit=settings.max_upload_bytes,
        pool=site.calls,
    )
    try:
        job = await site.call(
            request, lambda context: library.enqueue(path, base_id, context, name=name)
        )
    except Exception:
        discard(path)
        raise
    return reply(job, status=202)


async def get_document(request: Request) -> Response:
    """The record, and the blocks with where each begins in the document's text."""
    site, document_id = site_of(request), request.path_params["document"]
    library = site.app.library
    record, document = await site.call(
        request, lambda context: library.document(document_id, context)
    )
    return reply(_opened(record, document))


async def delete_document(request: Request) -> Response:
    site, document_id = site_of(request), request.path_params["document"]
    library = site.app.library
    await site.call(request, lambda context: library.delete(document_id, context))
    return reply({"deleted": document_id})


async def get_passage(request: Request) -> Response:
    site, passage_id = site_of(request), request.path_params["passage"]
    library = site.app.library
    return reply(await site.call(request, lambda context: library.passage(passage_id, context)))


def _opened(record: DocumentRecord, document: Document) -> dict[str, object]:
    blocks = [
        {**asdict(block), "start": start}
        for block, start in zip(document.blocks, document.block_starts, strict=True)
    ]
    return {"document": record, "blocks": blocks}


async def _check_base(site: Site, request: Request, base_id: str) -> None:
    """Refuse before the body is read, so that no file is sent for nothing."""
    context = site.context(request)
    bases = await site.calls.call(lambda: site.app.library.bases(context))
    if base_id not in {base.id for base in bases}:
        raise UnknownBase(
            f"There is no knowledge base {base_id!r}.", remedy="GET /api/bases lists them."
        )
