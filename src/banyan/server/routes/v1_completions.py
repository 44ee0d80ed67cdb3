"""``/v1/completions``: the raw model continues texts; with echo and logprobs, it scores them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import groupby

from starlette.requests import Request
from starlette.responses import Response

from banyan.core.context import Context
from banyan.core.events import GenerationDone
from banyan.core.types import Usage
from banyan.server.body import read
from banyan.server.completions import (
    Envelope,
    Piece,
    completion_logprobs,
    finish_reason,
    gather,
)
from banyan.server.errors import openai_failure
from banyan.server.openai_schemas import Completion
from banyan.server.pool import Stream
from banyan.server.served import check_served
from banyan.server.site import Site, site_of
from banyan.server.sse import DONE, EventStream, frame
from banyan.server.wire import reply

Indexed = tuple[int, Piece]


async def completions(request: Request) -> Response:
    site = site_of(request)
    body = await read(request, Completion, limit=site.settings.max_body_bytes)
    stream = site.stream(site.context(request), lambda context: _complete(site, body, context))
    envelope = Envelope(kind="text_completion", model=body.model)
    if body.stream:
        frames = _frames(envelope, body, stream)
        return EventStream(frames, leave=stream.leave, failure=openai_failure)
    return reply(_whole(envelope, body, await site.collect(request, stream)))


def _complete(site: Site, body: Completion, context: Context) -> Iterator[Indexed]:
    model = site.app.text_model(check_served(site, body.model, "chat"))
    sampling = body.completion_sampling()
    for index, prompt in enumerate(body.prompt):
        for piece in model.complete(prompt, sampling, context):
            yield index, piece


def _whole(envelope: Envelope, body: Completion, pieces: list[Indexed]) -> dict[str, object]:
    choices, usages = [], []
    for index, group in groupby(pieces, key=lambda pair: pair[0]):
        generation = gather(piece for _, piece in group)
        logprobs = completion_logprobs(generation.tokens, 0) if body.logprobs is not None else None
        reason = finish_reason(generation.done)
        choices.append(_choice(index, generation.text, logprobs, reason))
        usages.append(generation.done.usage)
    return envelope.whole(choices, _sum(usages))


async def _frames(
    envelope: Envelope, body: Completion, stream: Stream[Indexed]
) -> AsyncIterator[bytes]:
    usages: list[Usage] = []
    offset = 0
    async for index, piece in stream:
        if isinstance(piece, GenerationDone):
            usages.append(piece.usage)
            offset = 0
            yield frame(envelope.chunk(_choice(index, "", None, finish_reason(piece))))
            continue
        logprobs = None
        if body.logprobs is not None:
            logprobs = completion_logprobs(piece.logprobs, offset)
            offset += sum(len(token.text) for token in piece.logprobs)
        yield frame(envelope.chunk(_choice(index, piece.text, logprobs, None)))
    if body.stream_options.include_usage:
        yield frame(envelope.chunk(usage=_sum(usages)))
    yield DONE


def _choice(index: int, text: str, logprobs: object, finish: str | None) -> dict[str, object]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}


def _sum(usages: list[Usage]) -> Usage:
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
    )
