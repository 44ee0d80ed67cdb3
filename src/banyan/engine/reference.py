"""The slow, obvious model run: one sequence, no cache, attention in plain loops.

It shares the blocks with the engine (those are compared with ``transformers``) and nothing else: no
scheduler, no pages, no sampler. What those make faster must come out the same as here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from banyan.engine.batch import Batch, OneRank, Span
from banyan.engine.model import Model


class NoCache:
    """A ``LayerKV`` that keeps nothing: every batch holds whole sequences from position 0."""

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, batch: Batch, *, scale: float, window: int | None
    ) -> Tensor:
        out = torch.empty_like(q)
        group = q.shape[1] // k.shape[1]
        for span in batch.spans:
            rows = slice(span.start, span.start + span.length)
            for head in range(q.shape[1]):
                keys, values = k[rows, head // group], v[rows, head // group]
                out[rows, head] = _attend(q[rows, head], keys, values, scale, window)
        return out


def _attend(q: Tensor, k: Tensor, v: Tensor, scale: float, window: int | None) -> Tensor:
    """One head of one sequence: [n, d] each."""
    scores = (q.float() @ k.float().T) * scale
    positions = torch.arange(len(q))
    distance = positions.unsqueeze(1) - positions.unsqueeze(0)
    hidden = distance < 0
    if window is not None:
        hidden |= distance >= window
    weights = scores.masked_fill(hidden, float("-inf")).softmax(dim=-1)
    return (weights @ v.float()).to(q.dtype)


def logits(model: Model, ids: Sequence[int]) -> Tensor:
    """Float32 [len(ids), vocab]: row i is what the model expects after ids[0..i]."""
    length = len(ids)
    batch = Batch(
        id=0,
        tokens=torch.tensor(ids, dtype=torch.int64),
        positions=torch.arange(length),
        spans=(Span(sequence_id=0, start=0, length=length, context=length, pages=()),),
        logit_rows=torch.arange(length),
    )
    return model.forward(batch, [NoCache()] * model.config.layers, OneRank())


def logprobs(model: Model, ids: Sequence[int]) -> list[float]:
    """The natural-log probability of each token after those before it: len(ids) - 1 numbers."""
    table = logits(model, ids).log_softmax(dim=-1)
    return [float(table[place, token]) for place, token in enumerate(ids[1:])]


def greedy(model: Model, ids: Sequence[int], count: int) -> list[int]:
    """The ``count`` likeliest tokens after ``ids``, one by one; it stops after an end token."""
    produced: list[int] = []
    while len(produced) < count:
        token = int(logits(model, [*ids, *produced])[-1].argmax())
        produced.append(token)
        if token in model.config.eos_ids:
            break
    return produced
