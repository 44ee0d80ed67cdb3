"""A model computed by several ranks, as threads of one process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tests.engine.messages import Messages, on_ranks
from torch import Tensor

from banyan.core.layout import Interval, ModelShape, Share
from banyan.engine import reference
from banyan.engine.batch import Batch, Span
from banyan.engine.config import Precision
from banyan.engine.model import load_model
from banyan.plan.shares import divide, kv_heads_of


def anywhere(shape: ModelShape, weights: Sequence[float]) -> tuple[Share, ...]:
    """Shares cut between any two heads, columns, experts and tokens, as tiny models need it."""
    heads = divide(shape.heads, weights)
    vocab = divide(shape.vocab, weights)
    nothing, all_columns = Interval(0, 0), Interval(0, shape.ffn)
    ffn = [all_columns] * len(weights) if shape.experts else divide(shape.ffn, weights)
    experts = divide(shape.experts, weights) if shape.experts else [nothing] * len(weights)
    return tuple(
        Share(
            layers=Interval(0, shape.layers),
            heads=heads[rank],
            kv_heads=kv_heads_of(heads[rank], shape.heads // shape.kv_heads),
            ffn=ffn[rank],
            vocab=vocab[rank],
            experts=experts[rank],
        )
        for rank in range(len(weights))
    )


def one_sequence(ids: Sequence[int]) -> Batch:
    """A batch that wants the logits of every position."""
    length = len(ids)
    return Batch(
        id=0,
        tokens=torch.tensor(ids),
        positions=torch.arange(length),
        spans=(Span(sequence_id=0, start=0, length=length, context=length, pages=()),),
        logit_rows=torch.arange(length),
    )


class Summing:
    """Rank 0 adds up in float32 and rounds once, as the engine's own collectives do."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    def all_reduce(self, x: Tensor) -> Tensor:
        messages = self._messages
        if messages.rank:
            messages.send(0, x)
            messages.recv_into(0, x)
            return x
        total, received = x.float(), torch.empty_like(x)
        for sender in range(1, messages.ranks):
            messages.recv_into(sender, received)
            total = total + received
        x.copy_(total)
        for other in range(1, messages.ranks):
            messages.send(other, x)
        return x


def logits_of_ranks(
    path: Path, dealt: Sequence[Share], ids: Sequence[int], precision: Precision = "fp32"
) -> Tensor:
    """Float32 [len(ids), vocab] as ranks with these shares compute them together."""
    vocab = dealt[-1].vocab.end

    def work(messages: Messages) -> Tensor:
        share = dealt[messages.rank]
        model = load_model(path, precision, 1, share=share, vocab=vocab)
        caches = [reference.NoCache()] * model.config.layers
        return model.forward(one_sequence(ids), caches, Summing(messages))

    return torch.cat(on_ranks(len(dealt), work), dim=-1)
