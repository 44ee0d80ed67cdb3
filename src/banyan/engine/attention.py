"""Attention over pages: what to read and where to write for a whole batch, planned once per step.

Every layer of a batch reads the same pages at the same places, so the indexes and masks are made
once per batch (and per sliding window) and used by all layers. Sequences with one new token are
attended together (``decode_attention.py``); longer pieces one by one, in blocks of queries that
only look at the keys they may see, by torch's scaled_dot_product_attention. ``kv.py`` holds the
pools themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from banyan.engine.batch import Batch, Span
from banyan.engine.decode_attention import (
    DecodeGroup,
    additive,
    first_page,
    plan_in_place,
    plan_padded,
)
from banyan.engine.pools import Pool

WHOLE_ROWS = 4096
"""Rows of prompts of one length that a card attends at a time: more would only take memory."""
QUERY_BLOCK = 128
"""Queries attended at a time in prefill; measured: 128 skips a quarter of the work at 512."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryBlock:
    """Rows [start, end) of the batch see keys [low, high) of the gathered pages under ``mask``
    (None: as many queries as keys, each seeing those up to its own)."""

    start: int
    end: int
    low: int
    high: int
    mask: Tensor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefill:
    """One sequence with several new tokens, or ``count`` alike whose rows follow each other: their
    pages int64 [count * P] and their blocks of queries."""

    pages: Tensor
    blocks: tuple[QueryBlock, ...]
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionPlan:
    """``slots`` int64 [T]: where each row's key and value go (page * page_size + offset)."""

    slots: Tensor
    decodes: tuple[DecodeGroup, ...]
    prefills: tuple[Prefill, ...]


def plan_attention(
    batch: Batch,
    *,
    page_size: int,
    window: int | None,
    dtype: torch.dtype,
    device: torch.device,
    in_place: bool,
) -> AttentionPlan:
    """Plan one step for the layers of one sliding window (None: all positions are seen);
    ``in_place``: by our kernel for sequences with one new token."""
    slots = torch.empty_like(batch.positions)
    single, prefills = [], []
    wholes: list[list[Span]] = []
    for span in batch.spans:
        rows = slice(span.start, span.start + span.length)
        pages = torch.tensor(span.pages, dtype=torch.int64)
        positions = batch.positions[rows]
        slots[rows] = pages[positions // page_size] * page_size + positions % page_size
        if span.length == 1:
            single.append(span)
        elif device.type == "cuda" and span.length == span.context and window is None:
            if not wholes or not _is_alike(wholes[-1], span):
                wholes.append([])
            wholes[-1].append(span)
        else:
            prefills.append(_prefill(span, pages, page_size, window, dtype))
    prefills += [whole_prefill(spans) for spans in wholes]
    if in_place:
        decodes = plan_in_place(single, page_size=page_size, window=window)
    else:
        decodes = plan_padded(
            single, page_size=page_size, window=window, dtype=dtype, device=device
        )
    return AttentionPlan(
        slots=slots.to(device),
        decodes=decodes,
        prefills=tuple(_moved_prefill(prefill, device) for prefill in prefills),
    )


def _moved_prefill(prefill: Prefill, device: torch.device) -> Prefill:
    blocks = [
        block if block.mask is None else replace(block, mask=block.mask.to(device))
        for block in prefill.blocks
    ]
    return replace(prefill, pages=prefill.pages.to(device), blocks=tuple(blocks))


def whole_prefill(spans: Sequence[Span]) -> Prefill:
    """Whole prompts of one length in one block: a card's causal kernel needs no mask and skips the
    hidden. Their rows follow each other."""
    first, last = spans[0], spans[-1]
    end = last.start + last.length
    block = QueryBlock(start=first.start, end=end, low=0, high=first.length, mask=None)
    pages = torch.tensor([span.pages for span in spans], dtype=torch.int64)
    return Prefill(pages=pages.flatten(), blocks=(block,), count=len(spans))


def _is_alike(spans: Sequence[Span], span: Span) -> bool:
    """Whether a whole prompt joins others of its length that end where it begins."""
    last = spans[-1]
    return (
        last.length == span.length
        and len(last.pages) == len(span.pages)
        and last.start + last.length == span.start
        and (len(spans) + 1) * span.length <= WHOLE_ROWS
    )


def _prefill(
    span: Span, pages: Tensor, page_size: int, window: int | None, dtype: torch.dtype
) -> Prefill:
    start = span.context - span.length
    first = first_page(start + 1, page_size, window)
    offset = first * page_size
    blocks = []
    for begin in range(start, span.context, QUERY_BLOCK):
        end = min(begin + QUERY_BLOCK, span.context)
        low = offset if window is None else max(offset, begin + 1 - window)
        queries = torch.arange(begin, end)[:, None]
        keys = torch.arange(low, end)
        hidden = keys > queries
        if window is not None:
            hidden |= keys <= queries - window
        blocks.append(
            QueryBlock(
                start=span.start + begin - start,
                end=span.start + end - start,
                low=low - offset,
                high=end - offset,
                mask=additive(hidden, dtype),
            )
        )
    return Prefill(pages=pages[first : -(-span.context // page_size)], blocks=tuple(blocks))


def attend_prefill(
    q: Tensor, keys: Pool, values: Pool, prefill: Prefill, scale: float, out: Tensor
) -> None:
    """Attend the rows of a prefill of q [T, heads, d]; the result goes into ``out``, alike.

    Repeating the keys costs microseconds here and makes the kernel faster than letting it share
    them (8.3 against 12.4 ms for 512 tokens of 9 heads in bf16).
    """
    k, v = (pool.gather(prefill.pages, prefill.count) for pool in (keys, values))
    repeats = q.shape[1] // k.shape[1]
    if repeats > 1:
        k, v = (part.repeat_interleave(repeats, dim=1) for part in (k, v))
    for block in prefill.blocks:
        seen = slice(block.low, block.high)
        rows = slice(block.start, block.end)
        queries = q[rows].unflatten(0, (prefill.count, -1)).transpose(1, 2)
        attended = F.scaled_dot_product_attention(
            queries,
            k[:, :, seen],
            v[:, :, seen],
            attn_mask=block.mask,
            is_causal=block.mask is None,
            scale=scale,
        )
        out[rows] = attended.transpose(1, 2).flatten(0, 1)
