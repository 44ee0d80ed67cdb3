"""Attention of sequences with one new token each: planned once per step, used by every layer.

Two ways with the same result: the kernel of ``native/attention.c`` reads keys and values where they
lie; torch's scaled_dot_product_attention wants them gathered, and padded within buckets of similar
length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from banyan.engine.batch import Span
from banyan.engine.native.library import kernel
from banyan.engine.pools import Pool

NATIVE_WIDTH: Final = 32
"""Our kernel takes heads of so many numbers, and multiples."""
MOST_WIDTH: Final = 512
NATIVE_KEPT: Final = (torch.bfloat16, torch.int8)


class DecodeGroup(Protocol):
    """Some of the sequences of a batch; ``rows`` int64 [B] are theirs."""

    @property
    def rows(self) -> Tensor: ...

    def attend(self, q: Tensor, keys: Pool, values: Pool, scale: float) -> Tensor:
        """q [B, heads, d] against the pools of a layer; returns [B, heads, d]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InPlace:
    """For our kernel. ``slots`` int64 [K]: where the keys lie that are seen (page * page_size +
    offset), sequence by sequence; ``bounds`` int64 [B + 1]: where each begins, and the end."""

    rows: Tensor
    slots: Tensor
    bounds: Tensor

    def attend(self, q: Tensor, keys: Pool, values: Pool, scale: float) -> Tensor:
        """See ``DecodeGroup``."""
        run = kernel("attend_decodes")
        if run is None:
            raise RuntimeError("this group is planned for a kernel that is not here")
        q = q.contiguous()
        count, heads, width = q.shape
        numbers, *scales = (plane.data_ptr() for plane in keys.planes)
        others, *other_scales = (plane.data_ptr() for plane in values.planes)
        kv_heads = keys.planes[0].shape[2]
        scores = torch.empty(len(self.slots) * heads, dtype=torch.float32)
        out = torch.empty_like(q)
        run(
            q.data_ptr(),
            numbers,
            others,
            *(scales or [None]),
            *(other_scales or [None]),
            self.slots.data_ptr(),
            self.bounds.data_ptr(),
            scores.data_ptr(),
            out.data_ptr(),
            count,
            kv_heads,
            heads // kv_heads,
            width,
            scale,
            torch.get_num_threads(),
        )
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Padded:
    """For torch. ``pages`` int64 [B * P], padded with page 0; ``mask`` [B, 1, 1, P * page_size] is
    0 where a key may be seen and -inf elsewhere."""

    rows: Tensor
    pages: Tensor
    mask: Tensor

    def attend(self, q: Tensor, keys: Pool, values: Pool, scale: float) -> Tensor:
        """See ``DecodeGroup``.

        The heads that share a key head stand as query rows of that head, so nothing is repeated.
        """
        count, heads, width = q.shape
        k, v = keys.gather(self.pages, count), values.gather(self.pages, count)
        kv_heads = k.shape[1]
        grouped = q.reshape(count, kv_heads, heads // kv_heads, width)
        out = F.scaled_dot_product_attention(grouped, k, v, attn_mask=self.mask, scale=scale)
        return out.reshape(count, heads, width)


def can_read_in_place(
    dtype: torch.dtype, kept: torch.dtype, device: torch.device, head_dim: int
) -> bool:
    """Whether our kernel is here and takes such queries, and keys and values kept so."""
    fits = dtype == torch.bfloat16 and kept in NATIVE_KEPT and device.type == "cpu"
    wide = head_dim % NATIVE_WIDTH == 0 and head_dim <= MOST_WIDTH
    return fits and wide and kernel("attend_decodes") is not None


def plan_in_place(
    spans: Sequence[Span], *, page_size: int, window: int | None
) -> tuple[DecodeGroup, ...]:
    """All ``spans``, of one new token each, as one group."""
    if not spans:
        return ()
    slots = []
    for span in spans:
        first = 0 if window is None else max(0, span.context - window)
        positions = torch.arange(first, span.context)
        pages = torch.tensor(span.pages, dtype=torch.int64)
        slots.append(pages[positions // page_size] * page_size + positions % page_size)
    counts = torch.tensor([0, *map(len, slots)], dtype=torch.int64)
    rows = torch.tensor([span.start for span in spans])
    return (InPlace(rows=rows, slots=torch.cat(slots), bounds=counts.cumsum(0)),)


def plan_padded(
    spans: Sequence[Span],
    *,
    page_size: int,
    window: int | None,
    dtype: torch.dtype,
    device: torch.device,
) -> tuple[DecodeGroup, ...]:
    """``spans``, of one new token each, in groups of similar length."""
    buckets: dict[int, list[Span]] = {}
    for span in spans:
        length = span.context - first_page(span.context, page_size, window) * page_size
        buckets.setdefault((-(-length // page_size) - 1).bit_length(), []).append(span)
    return tuple(_padded(group, page_size, window, dtype, device) for group in buckets.values())


def _padded(
    spans: Sequence[Span],
    page_size: int,
    window: int | None,
    dtype: torch.dtype,
    device: torch.device,
) -> Padded:
    seen = []
    for span in spans:
        first = first_page(span.context, page_size, window)
        seen.append(span.pages[first : -(-span.context // page_size)])
    width = max(map(len, seen))
    pages = torch.tensor([list(entry) + [0] * (width - len(entry)) for entry in seen])
    contexts = torch.tensor([span.context for span in spans])[:, None]
    firsts = torch.tensor([first_page(span.context, page_size, window) for span in spans])
    positions = firsts[:, None] * page_size + torch.arange(width * page_size)
    hidden = positions >= contexts
    if window is not None:
        hidden |= positions < contexts - window
    return Padded(
        rows=torch.tensor([span.start for span in spans]).to(device),
        pages=pages.flatten().to(device),
        mask=additive(hidden, dtype)[:, None, None, :].to(device),
    )


def first_page(context: int, page_size: int, window: int | None) -> int:
    """The first page that the token at position ``context - 1`` may see."""
    return 0 if window is None else max(0, context - window) // page_size


def additive(hidden: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask to add to scores: -inf where ``hidden``, 0 elsewhere."""
    return torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, float("-inf"))
