"""Overlap: a large batch in two halves, one computing while the other's sums are on the wire.

Each half runs the ordinary forward pass in a thread of its own. At every all-reduce a half hands
the processor to the other and sums meanwhile, so the two take turns: computing in the order 0, 1,
0, 1 and summing in that order, too, on every rank alike. The second half always finds the keys and
values of the first, for it is one step behind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from banyan.engine.batch import Batch, Comm
from banyan.engine.micro_batch import micro_batches

LEAST_BYTES: Final = 512 << 10
"""Messages of a whole batch from which halves pay: below, threads cost more than they hide."""

Compute = Callable[[Batch, Comm], Tensor]


def overlapped(compute: Compute, batch: Batch, comm: Comm) -> Tensor:
    """``compute(batch, comm)`` in two halves; their results one after the other.

    Raises what a half raised.
    """
    halves = micro_batches(batch, -(-len(batch.tokens) // 2))
    turns = _Turns(len(halves))
    found: list[Tensor | None] = [None] * len(halves)
    failures: list[BaseException] = []

    def run(lane: int) -> None:
        try:
            with torch.inference_mode():
                turns.begin(lane)
                found[lane] = compute(halves[lane], _Lane(lane, turns, comm))
        except BaseException as error:
            failures.append(error)
        finally:
            turns.end(lane)

    threads = [threading.Thread(target=run, args=(lane,)) for lane in range(1, len(halves))]
    for thread in threads:
        thread.start()
    run(0)
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return torch.cat([half for half in found if half is not None])


class _Lane:
    """One half's ``Comm``: it lets the other half compute while it sums."""

    def __init__(self, lane: int, turns: _Turns, comm: Comm) -> None:
        self._lane = lane
        self._turns = turns
        self._comm = comm

    def all_reduce(self, x: Tensor) -> Tensor:
        self._turns.hand_over(self._lane)
        x = self._comm.all_reduce(x)
        self._turns.take_back(self._lane)
        return x


class _Turns:
    """Who computes and who sums: each in the order of the lanes, over and over."""

    def __init__(self, lanes: int) -> None:
        self._changed = threading.Condition()
        self._lanes = lanes
        self._ended: set[int] = set()
        self._computing = 0
        self._summing = 0

    def begin(self, lane: int) -> None:
        """Wait for the first turn to compute."""
        with self._changed:
            self._changed.wait_for(lambda: self._computing == lane)

    def hand_over(self, lane: int) -> None:
        """Let the next lane compute, and wait for the turn to sum."""
        with self._changed:
            self._computing = self._after(lane)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._summing == lane)

    def take_back(self, lane: int) -> None:
        """The sum is done: let the next lane sum, and wait for the turn to compute."""
        with self._changed:
            self._summing = self._after(lane)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._computing == lane)

    def end(self, lane: int) -> None:
        """This lane takes no more turns, however it ended."""
        with self._changed:
            self._ended.add(lane)
            if self._computing == lane:
                self._computing = self._after(lane)
            if self._summing == lane:
                self._summing = self._after(lane)
            self._changed.notify_all()

    def _after(self, lane: int) -> int:
        others = [(lane + step) % self._lanes for step in range(1, self._lanes + 1)]
        return next((other for other in others if other not in self._ended), lane)
