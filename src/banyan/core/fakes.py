"""Doubles that ship with the product, for tests and for trying a pipeline without a model.

They are deterministic, need nothing, and say nothing about quality.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from banyan.core.context import Context
from banyan.core.events import GenerationDone, TokenReady
from banyan.core.types import Message, Sampling, TokenLogprob, Usage

if TYPE_CHECKING:
    from banyan.core.ports import FloatMatrix


class ScriptedChatModel:
    """Answers each call with the next line of a script, word by word; keeps what it was asked."""

    def __init__(self, *replies: str) -> None:
        self._replies = list(replies)
        self.asked: list[tuple[Message, ...]] = []

    def chat(
        self, messages: Sequence[Message], sampling: Sampling, context: Context
    ) -> Iterator[TokenReady | GenerationDone]:
        self.asked.append(tuple(messages))
        reply = self._replies.pop(0)
        words = reply.split(" ")
        for index, word in enumerate(words):
            context.check()
            yield TokenReady(text=word if index == 0 else " " + word)
        prompt_tokens = sum(len(message.content.split()) for message in messages)
        usage = Usage(prompt_tokens=prompt_tokens, completion_tokens=len(words))
        yield GenerationDone(finish_reason="stop", usage=usage)


class WordOverlapScorer:
    """A ``TextScorer`` for which a word is likely when the prefix holds it."""

    def score(
        self, pairs: Sequence[tuple[str, str]], context: Context
    ) -> list[tuple[TokenLogprob, ...]]:
        scored = []
        for prefix, text in pairs:
            context.check()
            seen = set(prefix.lower().split())
            scored.append(
                tuple(
                    TokenLogprob(text=word, logprob=-1.0 if word.lower() in seen else -8.0)
                    for word in text.split()
                )
            )
        return scored


class HashEmbedder:
    """An ``Embedder`` that adds one fixed pseudo-random vector per word; shared words are near."""

    def __init__(self, dimensions: int = 64, name: str = "hash-64") -> None:
        self.dimensions = dimensions
        self.name = name

    def embed(self, texts: Sequence[str], context: Context) -> FloatMatrix:
        import numpy as np  # the core itself needs the standard library only

        rows = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            context.check()
            for word in text.lower().split():
                seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
                row += np.random.default_rng(seed).standard_normal(self.dimensions)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: FloatMatrix = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
        return unit


class ManualClock:
    """A ``Clock`` that moves only when told."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds
