"""``/v1/embeddings``: unit vectors of texts."""

from __future__ import annotations

import base64

from starlette.requests import Request
from starlette.responses import Response

from banyan.core.context import Context
from banyan.core.errors import UnsupportedOption
from banyan.core.ports import Embedder
from banyan.server.body import read
from banyan.server.openai_schemas import Embeddings
from banyan.server.served import check_served
from banyan.server.site import Site, site_of
from banyan.server.wire import reply


async def embeddings(request: Request) -> Response:
    site = site_of(request)
    body = await read(request, Embeddings, limit=site.settings.max_body_bytes)
    return reply(await site.call(request, lambda context: _embed(site, body, context)))


def _embed(site: Site, body: Embeddings, context: Context) -> dict[str, object]:
    embedder = site.app.embedder(check_served(site, body.model, "embedding"))
    _check_dimensions(embedder, body.dimensions)
    rows = embedder.embed(body.input, context)
    as_base64 = body.encoding_format == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(row.astype("<f4").tobytes()).decode()
            if as_base64
            else row.tolist(),
        }
        for index, row in enumerate(rows)
    ]
    return {"object": "list", "model": body.model, "data": data, "usage": _usage(embedder, body)}


def _check_dimensions(embedder: Embedder, wanted: int | None) -> None:
    if wanted is not None and wanted != embedder.dimensions:
        raise UnsupportedOption(
            f"This model's vectors have {embedder.dimensions} dimensions and are not cut.",
            remedy="Leave dimensions out.",
            field="dimensions",
        )


def _usage(embedder: Embedder, body: Embeddings) -> dict[str, int]:
    """Tokens as the model counts them; 0 where it cannot say."""
    count = getattr(embedder, "count", None)
    tokens = sum(count(text) for text in body.input) if callable(count) else 0
    return {"prompt_tokens": tokens, "total_tokens": tokens}
