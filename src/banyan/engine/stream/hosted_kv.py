"""HostedKV: keys and values in the host's memory, where decoding attends to them.

A sequence with one new token sends its query there and gets back what it attended to: a few
kilobytes a layer instead of all that it had before. Prompts are attended to on the device, as
``kv.py`` does it: their keys are many, and new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from banyan.engine.batch import Batch, LayerKV, Span
from banyan.engine.kv import CPU, CacheSize, LayerPages, Plans
from banyan.engine.stream.far import HostPages
from banyan.engine.stream.kv import StreamedKV
from banyan.engine.stream.lanes import Lanes


class HostedKV:
    """The pools of all layers."""

    def __init__(self, size: CacheSize, *, lanes: Lanes) -> None:
        host = HostPages(size)
        self._streamed = StreamedKV(size, lanes=lanes, far=host)
        plans, halves = Plans(replace(size, device=CPU)), _Halves()
        self.layers: Sequence[LayerKV] = [
            _Layer(index, LayerPages(*host.pools[index], plans), self._streamed, halves)
            for index in range(size.layers)
        ]
        self.size_bytes = host.size_bytes
        self.near_bytes = self._streamed.near_bytes

    def close(self) -> None:
        """See ``StreamedKV``."""
        self._streamed.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Some sequences of a batch, whose ``rows`` int64 [T] they were there."""

    rows: Tensor
    batch: Batch

    @classmethod
    def of(cls, batch: Batch, spans: Sequence[Span]) -> _Part | None:
        """None where there are no such sequences."""
        if not spans:
            return None
        taken = [torch.arange(span.start, span.start + span.length) for span in spans]
        moved, start = [], 0
        for span in spans:
            moved.append(replace(span, start=start))
            start += span.length
        rows = torch.cat(taken)
        part = replace(
            batch,
            tokens=batch.tokens[rows],
            positions=batch.positions[rows],
            spans=tuple(moved),
            logit_rows=rows[:0],
            whole_rows=None,
        )
        return cls(rows=rows, batch=part)


class _Halves:
    """Of each batch the sequences with several new tokens, and those with one, for all layers."""

    def __init__(self) -> None:
        self._made: WeakKeyDictionary[Batch, tuple[_Part | None, _Part | None]] = (
            WeakKeyDictionary()
        )

    def of(self, batch: Batch) -> tuple[_Part | None, _Part | None]:
        if batch not in self._made:
            several = [span for span in batch.spans if span.length > 1]
            single = [span for span in batch.spans if span.length == 1]
            self._made[batch] = _Part.of(batch, several), _Part.of(batch, single)
        return self._made[batch]


class _Layer:
    """One layer as a ``LayerKV``: ``host`` are its pages, ``streamed`` brings them."""

    def __init__(self, index: int, host: LayerPages, streamed: StreamedKV, halves: _Halves) -> None:
        self._index = index
        self._host = host
        self._streamed = streamed
        self._halves = halves

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, batch: Batch, *, scale: float, window: int | None
    ) -> Tensor:
        """See ``LayerKV``."""
        several, single = self._halves.of(batch)
        near = self._streamed.layers[self._index]
        if single is None:
            return near.attend(q, k, v, batch, scale=scale, window=window)
        self._streamed.settle(self._index)
        out = torch.empty_like(q)
        if several is not None:
            rows = several.rows.to(q.device)
            parts = q[rows], k[rows], v[rows]
            out[rows] = near.attend(*parts, several.batch, scale=scale, window=window)
        rows = single.rows.to(q.device)
        parts = q[rows].cpu(), k[rows].cpu(), v[rows].cpu()
        found = self._host.attend(*parts, single.batch, scale=scale, window=window)
        self._streamed.forget(self._index, single.batch)
        out[rows] = found.to(q.device)
        return out
