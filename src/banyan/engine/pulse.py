"""Pulse: how far a rank has come, so that one that stands still can be told from one that is slow.

The rank's computing thread moves it on; another thread reads it and tells the supervisor.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Steps begun and done, and how often the rank has moved on inside them: it entered a sum or
    finished a micro-batch. Ranks of one stage count alike, so the one behind is the one waited for.
    """

    begun: int = 0
    done: int = 0
    moves: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.done <= self.begun or self.moves < 0:
            raise ValueError(f"{self} is no progress")


class Pulse:
    """Counters that one thread moves and any other reads."""

    def __init__(self) -> None:
        self._begun = self._done = self._moves = 0

    def begin(self) -> None:
        """A step begins."""
        self._begun += 1

    def move(self) -> None:
        """Something inside a step has been reached."""
        self._moves += 1

    def finish(self) -> None:
        """The step that began has been computed."""
        self._done += 1

    @property
    def progress(self) -> Progress:
        done = self._done  # first: a step may begin while this is read, and none is done before
        return Progress(begun=self._begun, done=done, moves=self._moves)
