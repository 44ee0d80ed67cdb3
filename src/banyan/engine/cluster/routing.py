"""Routing: which replica a request goes to: the one that has least to compute, for its speed.

What a request will cost is not known before it is done, and its tokens are counted elsewhere: a
prompt is taken for a token every ``BYTES_PER_TOKEN``, an answer for as long as it may be, at most
``LIKELY_ANSWER``.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

BYTES_PER_TOKEN: Final = 4
LIKELY_ANSWER: Final = 256
"""Tokens that are expected of an answer without a limit, or with a larger one."""


class Work:
    """What is left to do of one request: the prompt until its first token, then its answer."""

    def __init__(self, prompt: int, answer: int) -> None:
        self._prompt = prompt
        self._answer = answer

    @property
    def left(self) -> int:
        """Tokens."""
        return self._prompt + self._answer

    def move(self) -> None:
        """Another token is there."""
        self._prompt = 0
        self._answer = max(0, self._answer - 1)


class Routing:
    """``speeds`` are those of the replicas, to be compared with each other; thread-safe."""

    def __init__(self, speeds: Sequence[float]) -> None:
        self._speeds = speeds
        self._under_way: list[list[Work]] = [[] for _ in speeds]
        self._lock = threading.Lock()

    def outstanding(self, number: int) -> int:
        """Tokens that replica ``number`` has yet to compute."""
        with self._lock:
            return sum(work.left for work in self._under_way[number])

    @contextmanager
    def route(self, work: Work, among: Collection[int]) -> Iterator[int]:
        """The number of the replica, one of ``among``, that ``work`` goes to; it counts as there
        until this is left."""
        with self._lock:
            chosen = min(among, key=lambda number: self._seconds(number, work))
            self._under_way[chosen].append(work)
        try:
            yield chosen
        finally:
            with self._lock:
                self._under_way[chosen].remove(work)

    def _seconds(self, number: int, more: Work) -> float:
        """When it would be through with all it has and ``more``, in units of no meaning."""
        left = sum(work.left for work in self._under_way[number])
        return (left + more.left) / self._speeds[number]


def work_of(text_bytes: int, max_tokens: int | None) -> Work:
    """What a prompt of that length and its answer are taken for."""
    answer = LIKELY_ANSWER if max_tokens is None else min(max_tokens, LIKELY_ANSWER)
    return Work(-(-text_bytes // BYTES_PER_TOKEN), answer)
