"""Vocabulary: logits whose rows are spread over ranks, brought together where they are sampled.

Each rank of the last stage has the logits of its own part of the vocabulary. A row that is only
searched for its likeliest tokens (greedy, or top-k up to ``CANDIDATES``) needs no more of each part
than its best ``CANDIDATES`` and the sum of all its exponentials. Merged, every other token gets an
equal share of the probability that the candidates leave, which is no more than any of theirs: the
likeliest tokens and their log-probabilities are those of the whole row. Rows that need more
(penalties, a nucleus, the log-probability of a given token) are sent whole.
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
    vocabulary, and ``totals`` float32 [C], the logarithms of the sums of exp(logit)."""

    interval: Interval
    whole: Tensor
    values: Tensor
    ids: Tensor
    totals: Tensor

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.whole, self.values, self.ids, self.totals


def offer(logits: Tensor, batch: Batch, interval: Interval) -> Offer:
    """From the rank's own float32 logits [R, own vocabulary]."""
    whole = _whole_rows(batch)
    searched = logits[~whole]
    values, ids = searched.topk(min(CANDIDATES, interval.size), dim=-1)
    return Offer(
        interval=interval,
        whole=logits[whole].contiguous(),
        values=values.contiguous(),
        ids=(ids + interval.begin).to(torch.int32).contiguous(),
        totals=searched.logsumexp(dim=-1),
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
        totals=torch.empty(shape[0]),
    )


def merged(offers: Sequence[Offer], batch: Batch) -> Tensor:
    """Float32 logits [R, whole vocabulary] from the offers of all parts of it."""
    whole = _whole_rows(batch)
    vocab = max(part.interval.end for part in offers)
    logits = torch.empty(len(batch.logit_rows), vocab)
    for part in offers:
        logits[whole, part.interval.begin : part.interval.end] = part.whole
    if not bool(whole.all()):
        values = torch.cat([part.values for part in offers], dim=-1)
        ids = torch.cat([part.ids for part in offers], dim=-1).to(torch.int64)
        totals = torch.stack([part.totals for part in offers], dim=-1)
        rows = _remainder(values, totals, vocab).expand(-1, vocab).contiguous()
        logits[~whole] = rows.scatter_(1, ids, values)
    return logits


def _remainder(values: Tensor, totals: Tensor, vocab: int) -> Tensor:
    """The logit [C, 1] of every token that is no candidate, as if they were all alike.

    Each of them is at most the least of the best ``CANDIDATES``: there are as many in its part.
    """
    likeliest = values.topk(min(CANDIDATES, values.shape[-1]), dim=-1).values
    best, least = likeliest[:, :1], likeliest[:, -1:]
    total = (totals.double() - best).exp().sum(dim=-1, keepdim=True)
    left = total - (values.double() - best).exp().sum(dim=-1, keepdim=True)
    others = max(1, vocab - values.shape[-1])
    logit = best + (left.clamp_min(0.0) / others).log()
    return torch.minimum(logit.float(), least)


def _whole_rows(batch: Batch) -> Tensor:
    if batch.whole_rows is not None:
        return batch.whole_rows
    return torch.ones(len(batch.logit_rows), dtype=torch.bool)
