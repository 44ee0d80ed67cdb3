"""OpenAI's answer objects, built from the engine's events. Pure functions, no I/O."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from banyan.core.errors import Cancelled, EngineFailed
from banyan.core.events import GenerationDone, TokenReady
from banyan.core.types import TokenLogprob, Usage

Piece = TokenReady | GenerationDone


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What every object of one response repeats."""

    kind: str
    model: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def is_chat(self) -> bool:
        return self.kind == "chat.completion"

    def whole(self, choices: Sequence[object], usage: Usage) -> dict[str, object]:
        """The response of a request that is not streamed."""
        return {**self._head(self.kind), "choices": choices, "usage": usage_body(usage)}

    def chunk(self, *choices: object, usage: Usage | None = None) -> dict[str, object]:
        """One object of a stream; a completion's chunks are called as the whole is."""
        kind = "chat.completion.chunk" if self.is_chat else self.kind
        body = {**self._head(kind), "choices": choices}
        return body if usage is None else {**body, "usage": usage_body(usage)}

    def _head(self, kind: str) -> dict[str, object]:
        prefix = "chatcmpl-" if self.is_chat else "cmpl-"
        return {
            "id": prefix + self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A finished generation: its text, the tokens behind it, and how it ended."""

    text: str
    tokens: tuple[TokenLogprob, ...]
    done: GenerationDone


def gather(pieces: Iterable[Piece]) -> Generation:
    """Join a whole generation; raise ``EngineFailed`` when its end is missing."""
    text: list[str] = []
    tokens: list[TokenLogprob] = []
    done: GenerationDone | None = None
    for piece in pieces:
        if isinstance(piece, GenerationDone):
            done = piece
        else:
            text.append(piece.text)
            tokens.extend(piece.logprobs)
    if done is None:
        raise EngineFailed("The model stopped without an end.", remedy="Ask again.")
    return Generation(text="".join(text), tokens=tuple(tokens), done=done)


def finish_reason(done: GenerationDone) -> str:
    """OpenAI's word for the end; raise ``Cancelled`` for one that was cut short."""
    if done.finish_reason == "cancelled":
        raise Cancelled("The generation was cancelled.", remedy="Ask again.")
    return done.finish_reason


def usage_body(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def chat_delta(
    content: dict[str, str], *, finish: str | None = None, logprobs: object = None
) -> dict[str, object]:
    """The one choice of a chat's chunk."""
    return {"index": 0, "delta": content, "logprobs": logprobs, "finish_reason": finish}


def chat_logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, object]:
    """A chat choice's ``logprobs``."""
    return {
        "content": [
            {
                **_token(token.text, token.logprob),
                "top_logprobs": [_token(text, logprob) for text, logprob in token.top],
            }
            for token in tokens
        ],
        "refusal": None,
    }


def completion_logprobs(tokens: Sequence[TokenLogprob], offset: int) -> dict[str, object]:
    """A completion choice's ``logprobs``; the first token begins at ``offset`` of the text."""
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.text)
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [dict(token.top) if token.top else None for token in tokens],
        "text_offset": offsets,
    }


def _token(text: str, logprob: float | None) -> dict[str, object]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "replace"))}
