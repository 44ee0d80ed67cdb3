"""Vocabulary: logits whose rows are spread over ranks, brought together where they are sampled.

Each rank of the last stage has the logits of its own part of the vocabulary. A row that is only
searched for its likeliest tokens (greedy, or top-k up to ``CANDIDATES``) needs no more of each part
than its best ``CANDIDATES``: merged, everything else is minus infinity and could not have been
drawn. Rows that need more (log-probabilities, penalties, a nucleus) are sent whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from banyan.core.layout import Interval
from banyan.engine.batch import Batch

CANDIDATES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What one rank gives for a batch: ``whole`` float32 [W, own vocabulary] of the rows needed
    whole; of the others ``values`` float32 and ``ids`` int32 [C, k], the ids those of the whole
    vocabulary."""

    interval: Interval
    whole: Tensor
    values: Tensor
    ids: Tensor

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.whole, self.values, self.ids


def offer(logits: Tensor, batch: Batch, interval: Interval) -> Offer:
    """From the rank's own float32 logits [R, own vocabulary]."""
    whole = _whole_rows(batch)
    values, ids = logits[~whole].topk(min(CANDIDATES, interval.size), dim=-1)
    return Offer(
        interval=interval,
        whole=logits[whole].contiguous(),
        values=values.contiguous(),
        ids=(ids + interval.begin).to(torch.int32).contiguous(),
    )


def empty_offer(batch: Batch, interval: Interval) -> Offer:
    """An offer of the right sizes, to be filled with what a rank sends."""
    whole = int(_whole_rows(batch).sum())
    shape = (len(batch.logit_rows) - whole, min(CANDIDATES, interval.size))
    return Offer(
        interval=interval,
        whole=torch.empty(whole, interval.size),
        values=torch.empty(shape),
        ids=torch.empty(shape, dtype=torch.int32),
    )


def merged(offers: Sequence[Offer], batch: Batch) -> Tensor:
    """Float32 logits [R, whole vocabulary] from the offers of all parts of it."""
    whole = _whole_rows(batch)
    vocab = max(part.interval.end for part in offers)
    logits = torch.full((len(batch.logit_rows), vocab), float("-inf"))
    for part in offers:
        logits[whole, part.interval.begin : part.interval.end] = part.whole
    if not bool(whole.all()):
        values = torch.cat([part.values for part in offers], dim=-1)
        ids = torch.cat([part.ids for part in offers], dim=-1).to(torch.int64)
        rows = torch.full((len(values), vocab), float("-inf"))
        logits[~whole] = rows.scatter_(1, ids, values)
    return logits


def _whole_rows(batch: Batch) -> Tensor:
    if batch.whole_rows is not None:
        return batch.whole_rows
    return torch.ones(len(batch.logit_rows), dtype=torch.bool)
