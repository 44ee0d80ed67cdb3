"""LateLane: a lane that copies as late as its marks allow, so that what forgets to wait for a copy
reads what is not there yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from banyan.engine.stream.lanes import Lanes, Mark


@dataclass(frozen=True, slots=True)
class LateMark(Mark):
    """A place in a lane's order; reaching it does the work before it."""

    lane: LateLane | None = None
    place: int = 0

    def reach(self) -> None:
        if self.lane is not None:
            self.lane.advance(self.place)


class LateLane:
    """Work is queued until somebody reaches a mark behind it. The computation's own lane does
    everything at once, as the tests' arithmetic does."""

    def __init__(self, *, is_compute: bool = False) -> None:
        self._is_compute = is_compute
        self._work: list[Callable[[], object]] = []
        self._done = 0

    def copy(self, target: Tensor, source: Tensor) -> None:
        self._work.append(lambda: _copy(target, source))

    def do(self, work: Callable[[], object]) -> None:
        self._work.append(work)

    def close(self) -> None:
        self.advance(len(self._work))

    def wait(self, mark: Mark) -> None:
        if self._is_compute:
            mark.reach()
        else:
            self._work.append(mark.reach)

    def mark(self) -> Mark:
        return LateMark(None, self, len(self._work))

    def advance(self, place: int) -> None:
        while self._done < place:
            self._done += 1
            self._work[self._done - 1]()


def _copy(target: Tensor, source: Tensor) -> None:
    target.copy_(source)


def late_lanes() -> Lanes:
    return Lanes(compute=LateLane(is_compute=True), inward=LateLane(), outward=LateLane())
