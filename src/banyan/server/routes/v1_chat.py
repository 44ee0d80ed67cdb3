"""``/v1/chat/completions``: a model's turn, or a knowledge base's answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response

from banyan.core.events import GenerationDone
from banyan.server.body import read
from banyan.server.completions import (
    Envelope,
    Piece,
    chat_delta,
    chat_logprobs,
    finish_reason,
    gather,
)
from banyan.server.errors import openai_failure
from banyan.server.grounded import base_of
from banyan.server.openai_schemas import ChatCompletion
from banyan.server.pool import Stream
from banyan.server.routes.v1_base import answer_from_base
from banyan.server.served import check_served
from banyan.server.site import site_of
from banyan.server.sse import DONE, EventStream, frame
from banyan.server.wire import reply


async def chat_completions(request: Request) -> Response:
    site = site_of(request)
    body = await read(request, ChatCompletion, limit=site.settings.max_body_bytes)
    base_id = base_of(body.model)
    if base_id is not None and site.mode == "all":
        return await answer_from_base(site, request, body, base_id)
    messages = [turn.message() for turn in body.messages]
    stream = site.stream(
        site.context(request),
        lambda context: site.app.chat_model(check_served(site, body.model, "chat")).chat(
            messages, body.chat_sampling(), context
        ),
    )
    envelope = Envelope(kind="chat.completion", model=body.model)
    if body.stream:
        frames = _frames(envelope, body, stream)
        return EventStream(frames, leave=stream.leave, failure=openai_failure)
    return reply(_whole(envelope, body, await site.collect(request, stream)))


def _whole(envelope: Envelope, body: ChatCompletion, pieces: list[Piece]) -> dict[str, object]:
    generation = gather(pieces)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": generation.text, "refusal": None},
        "logprobs": chat_logprobs(generation.tokens) if body.logprobs else None,
        "finish_reason": finish_reason(generation.done),
    }
    return envelope.whole([choice], generation.done.usage)


async def _frames(
    envelope: Envelope, body: ChatCompletion, stream: Stream[Piece]
) -> AsyncIterator[bytes]:
    begun = False
    async for piece in stream:
        if not begun:
            yield frame(envelope.chunk(chat_delta({"role": "assistant", "content": ""})))
            begun = True
        if isinstance(piece, GenerationDone):
            yield frame(envelope.chunk(chat_delta({}, finish=finish_reason(piece))))
            if body.stream_options.include_usage:
                yield frame(envelope.chunk(usage=piece.usage))
        else:
            logprobs = chat_logprobs(piece.logprobs) if body.logprobs else None
            yield frame(envelope.chunk(chat_delta({"content": piece.text}, logprobs=logprobs)))
    yield DONE
