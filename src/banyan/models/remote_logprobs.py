"""Log-probabilities as OpenAI's two APIs write them, as one record."""

from __future__ import annotations

from collections.abc import Mapping

from banyan.core.types import TokenLogprob

MOST = 1e30
"""No logarithm of a probability is as far from 0; it also keeps out what is no number."""


def chat_logprobs(given: Mapping[str, object]) -> tuple[TokenLogprob, ...]:
    """Of ``/chat/completions``: ``{"content": [{"token", "logprob", "top_logprobs"}]}``."""
    content = given.get("content")
    if not isinstance(content, list):
        return ()
    return tuple(
        TokenLogprob(
            text=str(entry.get("token", "")),
            logprob=_number(entry.get("logprob")),
            top=tuple(
                (str(top.get("token", "")), value)
                for top in _records(entry.get("top_logprobs"))
                if (value := _number(top.get("logprob"))) is not None
            ),
        )
        for entry in _records(content)
    )


def completion_logprobs(given: Mapping[str, object]) -> tuple[TokenLogprob, ...]:
    """Of ``/completions``: parallel lists ``tokens``, ``token_logprobs``, ``top_logprobs``."""
    tokens, values, tops = (
        value if isinstance(value := given.get(name), list) else []
        for name in ("tokens", "token_logprobs", "top_logprobs")
    )
    tops = [*tops, *[{}] * (len(tokens) - len(tops))]
    return tuple(
        TokenLogprob(text=str(token), logprob=_number(value), top=_pairs(top))
        for token, value, top in zip(tokens, values, tops, strict=False)
    )


def _pairs(top: object) -> tuple[tuple[str, float], ...]:
    if not isinstance(top, dict):
        return ()
    return tuple(
        (str(text), number) for text, value in top.items() if (number := _number(value)) is not None
    )


def _records(value: object) -> list[dict[str, object]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _number(value: object) -> float | None:
    """A log-probability; None for what cannot be one (servers write -Infinity, too)."""
    if not isinstance(value, (int, float)) or not -MOST < value < MOST:
        return None
    return float(value)
