"""Logits of one text computed through the paged cache, in pieces, as the engine does it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from banyan.engine.batch import Batch, LayerKV, OneRank, Span
from banyan.engine.model import Model


def piece(ids: Sequence[int], begin: int, end: int, pages: Sequence[int], page_size: int) -> Batch:
    """Tokens [begin, end) of a sequence, all of whose logits are wanted."""
    held = tuple(pages[: -(-end // page_size)])
    span = Span(sequence_id=0, start=0, length=end - begin, context=end, pages=held)
    return Batch(
        id=begin,
        tokens=torch.tensor(ids[begin:end]),
        positions=torch.arange(begin, end),
        spans=(span,),
        logit_rows=torch.arange(end - begin),
    )


def paged_logits(
    model: Model,
    layers: Sequence[LayerKV],
    ids: Sequence[int],
    lengths: Sequence[int],
    *,
    pages: Sequence[int],
    page_size: int,
) -> Tensor:
    """Float32 [len(ids), vocab], the text being cut into pieces of ``lengths``."""
    found, begin = [], 0
    for length in lengths:
        batch = piece(ids, begin, begin + length, pages, page_size)
        found.append(model.forward(batch, layers, OneRank()))
        begin += length
    return torch.cat(found)
