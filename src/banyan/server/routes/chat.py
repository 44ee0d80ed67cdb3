"""A bare model's turn, streamed, for the console's Chat page."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from banyan.server.body import read
from banyan.server.schemas import Chat
from banyan.server.served import check_served
from banyan.server.site import site_of
from banyan.server.streams import product_stream


async def chat(request: Request) -> Response:
    """Events: token_ready ..., then generation_done (or failed)."""
    site = site_of(request)
    body = await read(request, Chat, limit=site.settings.max_body_bytes)
    messages = [message.message() for message in body.messages]
    app = site.app
    return product_stream(
        site,
        site.context(request),
        lambda context: app.chat_model(check_served(site, body.model, "chat")).chat(
            messages, body.sampling(), context
        ),
    )
