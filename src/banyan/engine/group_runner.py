"""GroupRunner: the steps of a model whose ranks are several processes.

    rank 0, in the engine's step loop          every other rank, in ``follow``
      GroupRunner.start(batch)
        step plan (step_plan.py)          ->     batch
        Stage.run (stage.py)                     Stage.run
          embed, or receive from the stage before
          layers, summed over the stage's ranks by ``comm``
          logits of its own vocabulary, or send to the stage after
        gather (vocabulary.py)            <-     logits of the last stage

The plan of the next batch is sent while the last one is still computed further down the pipeline.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Final

from torch import Tensor

from banyan.core.errors import ClusterError, LimitExceeded
from banyan.core.layout import Interval
from banyan.engine import step_plan, vocabulary
from banyan.engine.batch import Batch
from banyan.engine.comm.group import Group
from banyan.engine.comm.link import Link
from banyan.engine.comm.tensors import bytes_of
from banyan.engine.pulse import Pulse
from banyan.engine.stage import Stage

PLAN: Final = "plan"
"""The channel between rank 0 and every other rank."""
MAX_PLAN_BYTES: Final = 16 << 20
"""Longest step plan that is read: 4 M numbers, far more than any batch that fits a KV cache."""


class GroupRunner:
    """Rank 0's ``StepRunner``. ``last`` names the ranks of the last stage and their vocabularies,
    in the order of these. ``pulse`` is told of each step."""

    def __init__(
        self,
        stage: Stage,
        group: Group,
        last: Sequence[tuple[int, Interval]],
        pulse: Pulse | None = None,
    ) -> None:
        self._pulse = pulse or Pulse()
        self._stage = stage
        self._group = group
        self._plans = group.channels[PLAN]
        self._last = last

    def start(self, batch: Batch) -> Callable[[], Tensor]:
        """See ``StepRunner``; raises ``ClusterError`` when a rank is gone."""
        plan = step_plan.encode(batch)
        if len(plan) > MAX_PLAN_BYTES:
            raise LimitExceeded(
                "The step plan is too long",
                limit="MAX_PLAN_BYTES",
                value=len(plan),
                allowed=MAX_PLAN_BYTES,
            )
        message = memoryview(struct.pack("<I", len(plan)) + plan)
        for link in self._plans.values():
            link.send(message)
        self._pulse.begin()
        try:
            own = self._stage.run(batch)
        finally:
            self._pulse.finish()
        return lambda: self._gathered(batch, own)

    def close(self) -> None:
        """Tell the others that nothing more comes; of no effect on those that have gone."""
        for link in self._plans.values():
            try:
                link.send(memoryview(struct.pack("<I", 0)))
            except ClusterError:
                continue
        self._stage.close()
        self._group.close()

    def _gathered(self, batch: Batch, own: Tensor | None) -> Tensor:
        parts = []
        for rank, interval in self._last:
            if rank == 0 and own is not None:
                parts.append(vocabulary.offer(own, batch, interval))
                continue
            offer = vocabulary.empty_offer(batch, interval)
            for tensor in offer.tensors:
                self._plans[rank].recv_into(bytes_of(tensor))
            parts.append(offer)
        return vocabulary.merged(parts, batch)


def follow(stage: Stage, plan: Link, interval: Interval, pulse: Pulse | None = None) -> None:
    """Compute what rank 0 plans until it sends no more. Raises ``ClusterError`` when it is gone."""
    pulse = pulse or Pulse()
    length = bytearray(4)
    while True:
        plan.recv_into(memoryview(length))
        (size,) = struct.unpack("<I", length)
        if size == 0:
            return
        if size > MAX_PLAN_BYTES:
            raise ClusterError(f"A plan of {size} bytes; MAX_PLAN_BYTES = {MAX_PLAN_BYTES}.")
        message = bytearray(size)
        plan.recv_into(memoryview(message))
        pulse.begin()
        batch = step_plan.decode(message)
        logits = stage.run(batch)
        if logits is not None:
            offer = vocabulary.offer(logits, batch, interval)
            for tensor in offer.tensors:
                plan.send(bytes_of(tensor))
        pulse.finish()
