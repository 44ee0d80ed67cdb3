"""Lanes: copies that a device makes beside its computation, and marks that order them.

Work on a device is asked for in advance. A mark is a point in the order of a lane, or of the
computation; what waits for it is held up on the device, not in the host's program. On a processor
copies are made at once, and every mark has been passed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Mark:
    """A point that has been passed when everything asked for before it is done."""

    event: torch.cuda.Event | None = None

    def reach(self) -> None:
        """Hold the host's program up until the point has been passed."""
        if self.event is not None:
            self.event.synchronize()


PASSED = Mark()


class Lane(Protocol):
    """An order of work on one device."""

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Between device and host, after what this lane was asked for before."""
        ...

    def do(self, work: Callable[[], object]) -> None:
        """The copies that ``work`` makes, likewise."""
        ...

    def wait(self, mark: Mark) -> None:
        """What is asked for from now on begins after the mark."""
        ...

    def mark(self) -> Mark:
        """The point after all that has been asked for so far."""
        ...

    def close(self) -> None:
        """Wait until all of it is done: nothing more is asked for."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lanes:
    """``compute`` is where the model's own work goes, ``inward`` and ``outward`` are for copies to
    the device and from it: a card makes both at the same time."""

    compute: Lane
    inward: Lane
    outward: Lane

    def close(self) -> None:
        self.inward.close()
        self.outward.close()

    @classmethod
    def of(cls, device: torch.device) -> Lanes:
        if device.type != "cuda":
            return cls(compute=AtOnce(), inward=AtOnce(), outward=AtOnce())
        return cls(
            compute=CardLane(torch.cuda.current_stream(device)),
            inward=CardLane(torch.cuda.Stream(device)),
            outward=CardLane(torch.cuda.Stream(device)),
        )


class AtOnce:
    """A processor's lane, in the thread that asks."""

    def copy(self, target: Tensor, source: Tensor) -> None:
        target.copy_(source)

    def do(self, work: Callable[[], object]) -> None:
        work()

    def wait(self, mark: Mark) -> None:
        """Raises what the work before the mark raised."""
        mark.reach()

    def mark(self) -> Mark:
        return PASSED

    def close(self) -> None:
        pass


class CardLane:
    """A card's lane. Copies run beside the host's program where its memory is pinned."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream = stream

    def copy(self, target: Tensor, source: Tensor) -> None:
        with torch.cuda.stream(self._stream):
            target.copy_(source, non_blocking=True)

    def do(self, work: Callable[[], object]) -> None:
        with torch.cuda.stream(self._stream):
            work()

    def wait(self, mark: Mark) -> None:
        if mark.event is not None:
            self._stream.wait_event(mark.event)

    def mark(self) -> Mark:
        event = torch.cuda.Event()
        event.record(self._stream)
        return Mark(event)

    def close(self) -> None:
        self._stream.synchronize()
