"""Request: what a caller wants of one sequence, as the step loop sees it.

``generation.py`` writes text, ``scoring.py`` says how likely a text is. Whatever comes of a step
goes into the request's queue of outputs, which its caller empties from another thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from banyan.core.context import Context
from banyan.core.errors import BanyanError
from banyan.engine.sequence import Sequence


class Request(ABC):
    """``tokens`` are known at the start; ``max_length`` and ``next_logit`` as in ``Sequence``."""

    def __init__(
        self, *, tokens: list[int], max_length: int, next_logit: int, context: Context
    ) -> None:
        self.tokens = tokens
        self.max_length = max_length
        self.next_logit = next_logit
        self.context = context
        self.sequence: Sequence | None = None
        self.finished = False

    @property
    def needs_computing(self) -> bool:
        return self.next_logit < self.max_length - 1

    @property
    def needs_whole_logits(self) -> bool:
        """False where the likeliest candidates of each row are enough."""
        return True

    @abstractmethod
    def take(self, logits: Tensor, first: int, known: list[int]) -> int | None:
        """Use the logits [N, vocab] of positions first .. first + N - 1 of the tokens ``known``.

        Returns the token drawn after the last known one, or None where nothing was to be drawn.
        """

    @abstractmethod
    def fail(self, error: BanyanError) -> None:
        """Tell the caller that nothing more will come, and why."""
