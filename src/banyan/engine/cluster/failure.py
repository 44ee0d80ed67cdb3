"""Failure: from what is heard to what is to blame. Pure, but for the clock.

When one rank dies, all others notice that it is gone, and often say so before its own host has said
why it died. So a *symptom* waits ``GRACE_S`` for a *cause*, and counts only when none comes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from banyan.core.layout import Layout
from banyan.engine.cluster.control import Clock
from banyan.engine.pulse import Progress

GRACE_S: Final = 1.0
"""How long a symptom waits for its cause."""
STEP_TIMEOUT_S: Final = 60.0
"""How long a step may stand still; a slow one moves all the time."""

MEET_S: Final = 600.0
"""How long ranks that have loaded wait for each other, and for rank 0, which may be slower."""


class Suspicion:
    """The first symptom, until its time has come."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._symptom = ""
        self._since = 0.0

    def note(self, symptom: str) -> None:
        if not self._symptom:
            self._symptom, self._since = symptom, self._clock()

    @property
    def verdict(self) -> str:
        """The symptom, once no cause has come in time; empty before."""
        waited = self._clock() - self._since
        return self._symptom if self._symptom and waited >= GRACE_S else ""


class Steps:
    """How far every rank of a layout has come, and which one holds up the others."""

    def __init__(
        self, layout: Layout, timeout_s: float = STEP_TIMEOUT_S, clock: Clock = time.monotonic
    ) -> None:
        self.timeout_s = timeout_s
        self._layout = layout
        self._clock = clock
        self._progress = dict.fromkeys(range(layout.ranks), Progress())
        self._moved = clock()

    def note(self, rank: int, progress: Progress) -> None:
        """A rank says how far it is."""
        if self._progress.get(rank) != progress:
            self._progress[rank] = progress
            self._moved = self._clock()

    @property
    def stuck(self) -> Sequence[int]:
        """The ranks furthest behind in a step in which nobody has moved for too long.

        One rank is the one that hangs; several wait for each other.
        """
        ranks = self._progress
        begun = max(progress.begun for progress in ranks.values())
        is_busy = any(progress.done < begun for progress in ranks.values())
        if not is_busy or self._clock() - self._moved <= self.timeout_s:
            return ()
        places = {rank: self._place(rank) for rank in ranks}
        last = min(places.values())
        return [rank for rank, place in places.items() if place == last]

    def _place(self, rank: int) -> tuple[int, ...]:
        """Compares as how far a rank is: a stage waits for the stages before it."""
        progress = self._progress[rank]
        return (progress.done, self._layout.stage(rank), progress.begun, progress.moves)
