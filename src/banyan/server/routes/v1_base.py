"""The chat answers of ``base:NAME``: grounded text, and a ``citations`` extension field."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response

from banyan.core.errors import EngineFailed, InputError, UnsupportedOption
from banyan.core.types import Message
from banyan.server.completions import Envelope, chat_delta
from banyan.server.errors import openai_failure
from banyan.server.grounded import Grounded, write_out
from banyan.server.openai_schemas import ChatCompletion
from banyan.server.pool import Stream
from banyan.server.routes.ask import check_question
from banyan.server.site import Site, principal_of
from banyan.server.sse import DONE, EventStream, frame
from banyan.server.wire import reply

Remember = Callable[[str, Grounded], None]


async def answer_from_base(
    site: Site, request: Request, body: ChatCompletion, base_id: str
) -> Response:
    """Ask the base the last message; the ones before say which conversation it continues."""
    if body.logprobs:
        raise UnsupportedOption("A knowledge base has no logprobs.", field="logprobs")
    messages = [turn.message() for turn in body.messages]
    if messages[-1].role != "user":
        raise InputError("The last message must be the user's question.", field="messages")
    question, earlier = messages[-1].content, messages[:-1]
    check_question(site, question)
    owner = principal_of(request).name
    conversation = site.conversations.find(owner, base_id, earlier)
    library = site.app.library
    context = site.context(request, base_id=base_id)
    stream = site.stream(
        context,
        lambda context: write_out(
            library.ask(question, base_id, context, conversation_id=conversation)
        ),
    )

    def remember(text: str, end: Grounded) -> None:
        transcript = [*messages, Message(role="assistant", content=text)]
        site.conversations.remember(owner, base_id, transcript, end.done.conversation_id)

    envelope = Envelope(kind="chat.completion", model=body.model)
    if body.stream:
        frames = _frames(envelope, body, stream, remember)
        return EventStream(frames, leave=stream.leave, failure=openai_failure)
    return reply(_whole(envelope, await site.collect(request, stream), remember))


def _whole(
    envelope: Envelope, pieces: Sequence[str | Grounded], remember: Remember
) -> dict[str, object]:
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    end = pieces[-1] if pieces else None
    if not isinstance(end, Grounded):
        raise EngineFailed("The answer stopped without an end.", remedy="Ask again.")
    remember(text, end)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    }
    return {**envelope.whole([choice], end.done.usage), **_extension(end)}


async def _frames(
    envelope: Envelope, body: ChatCompletion, stream: Stream[str | Grounded], remember: Remember
) -> AsyncIterator[bytes]:
    text = ""
    async for piece in stream:
        if isinstance(piece, str):
            opening = {} if text else {"role": "assistant"}
            yield frame(envelope.chunk(chat_delta({**opening, "content": piece})))
            text += piece
        else:
            remember(text, piece)
            yield frame({**envelope.chunk(chat_delta({}, finish="stop")), **_extension(piece)})
            if body.stream_options.include_usage:
                yield frame(envelope.chunk(usage=piece.done.usage))
    yield DONE


def _extension(end: Grounded) -> dict[str, object]:
    return {
        "citations": end.citations,
        "refused": end.done.refused,
        "trace_id": end.done.trace_id,
    }
