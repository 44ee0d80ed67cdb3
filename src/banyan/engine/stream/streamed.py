"""StreamedWeights: some layers stay in memory, the others pass through it, one after the other.

    load (loading.py)          staging file written once (staging.py, form.py), or found
      measure_pace (pace.py)     how fast layers are read, and computed
      fit (plan/budget.py)       which layers stay, how many slots the others share
    step: weights.layer(i)
      resident                   there for good
      Window.layer(i)            (window.py) waits until it is whole; i + 1 is on its way
        DiskCarrier.bring        (disk.py) a direct read into aligned memory (direct.py)

A block cannot tell where its weights come from, and neither can a layout: each rank streams its own
share. All sequences of a batch pass through a layer while it is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

from banyan.engine.stats import MemorySample, MemoryStats
from banyan.engine.stream.peak import measured_peak
from banyan.engine.stream.staging import Staging
from banyan.engine.stream.timeline import Timeline
from banyan.engine.stream.window import Window
from banyan.engine.weights import Embedding, Head, LayerWeights
from banyan.plan.budget import Fit


class StreamedWeights:
    """``Weights`` within a budget. ``window`` is None where all layers fit."""

    def __init__(
        self,
        embedding: Embedding | None,
        head: Head | None,
        resident: Mapping[int, LayerWeights],
        window: Window[LayerWeights] | None,
        staging: Staging,
        fit: Fit,
    ) -> None:
        self.embedding = embedding
        self.head = head
        self.staging = staging
        self.fit = fit
        self.window = window
        self._timeline = Timeline(fit.demand.ends + fit.resident_bytes, fit.demand.kv)
        self._resident = {layer: nullcontext(weights) for layer, weights in resident.items()}

    @property
    def size_bytes(self) -> int:
        """What is in memory: that which stays, and the slots."""
        return self.fit.demand.ends + self.fit.resident_bytes + self.fit.slots * self.fit.slot_bytes

    def layer(self, index: int) -> AbstractContextManager[LayerWeights]:
        """See ``Weights``; raises what reading the layer raised."""
        self._timeline.record(index, self._passing_bytes())
        if index in self._resident or self.window is None:
            return self._resident[index]
        return self.window.layer(index)

    def _passing_bytes(self) -> int:
        held = () if self.window is None else self.window.held
        return sum(self.fit.demand.layers[layer] for layer in held)

    @property
    def stats(self) -> MemoryStats:
        """See ``MemoryWatch``."""
        peak = measured_peak()
        return MemoryStats(
            budget_bytes=self.fit.limit,
            planned_bytes=self.fit.peak,
            peak_bytes=peak.peak,
            limit_bytes=peak.limit,
            choice=self.fit.words,
            streamed_bytes=self.fit.streamed_bytes,
            waited_s=0.0 if self.window is None else self.window.waited_s,
        )

    @property
    def samples(self) -> tuple[MemorySample, ...]:
        """See ``MemoryWatch``."""
        return self._timeline.samples

    def close(self) -> None:
        """End the reader; of no effect the second time."""
        if self.window is not None:
            self.window.close()
        self.staging.close()
