"""What one capability needs of another: Protocols of one to three methods.

Everything takes a ``Context`` and honours ``context.check()`` between steps. Implementations live
in ``engine`` (local checkpoints), ``models`` (OpenAI-compatible servers), ``knowledge`` (the numpy
encoder) and ``core.fakes`` (doubles); ``tests/contracts`` holds the suite each of them passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from banyan.core.context import Context
    from banyan.core.events import GenerationDone, TokenReady
    from banyan.core.types import Message, Sampling, TokenLogprob

    FloatMatrix = NDArray[np.float32]


class ChatModel(Protocol):
    """Writes the next turn of a conversation."""

    def chat(
        self, messages: Sequence[Message], sampling: Sampling, context: Context
    ) -> Iterator[TokenReady | GenerationDone]:
        """Yield the text piece by piece, then one ``GenerationDone``.

        Raises ``ContextTooLong`` before the first piece when it cannot fit, ``Overloaded`` when
        the queue is full, ``Cancelled`` within a step of ``context.cancel`` being set.
        """
        ...


class TextModel(Protocol):
    """Continues a raw text."""

    def complete(
        self, prompt: str, sampling: Sampling, context: Context
    ) -> Iterator[TokenReady | GenerationDone]:
        """As ``ChatModel.chat``, without a chat template; honours ``sampling.echo``."""
        ...


class TextScorer(Protocol):
    """Says how likely a text is after a prefix."""

    def score(
        self, pairs: Sequence[tuple[str, str]], context: Context
    ) -> list[tuple[TokenLogprob, ...]]:
        """For each (prefix, text): the log-probabilities of the text's tokens after the prefix."""
        ...


class TokenCounter(Protocol):
    """Counts as the model does."""

    def count(self, text: str) -> int: ...


class Embedder(Protocol):
    """Turns texts into unit vectors."""

    @property
    def name(self) -> str:
        """Stable and versioned: vectors of different names are never compared."""
        ...

    @property
    def dimensions(self) -> int: ...

    def embed(self, texts: Sequence[str], context: Context) -> FloatMatrix:
        """Return float32 [len(texts), dimensions], each row of length 1 (an empty text: zeros)."""
        ...


class Clock(Protocol):
    """Time as something a test can move."""

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...
