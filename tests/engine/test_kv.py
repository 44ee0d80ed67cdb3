"""Paged attention against plain attention over each whole sequence."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from banyan.engine.batch import Batch, Span
from banyan.engine.kv import PagedKV, page_bytes

PAGE, PAGES, HEADS, KV_HEADS, WIDTH = 4, 400, 6, 2, 8
SCALE = 0.3


def plain_attention(q: Tensor, k: Tensor, v: Tensor, window: int | None) -> Tensor:
    """q [T, heads, d], k and v [T, kv_heads, d] of one whole sequence, position by position."""
    out = torch.empty_like(q)
    for position in range(len(q)):
        low = 0 if window is None else max(0, position + 1 - window)
        for head in range(q.shape[1]):
            shared = head // (q.shape[1] // k.shape[1])
            keys, values = k[low : position + 1, shared], v[low : position + 1, shared]
            weights = torch.softmax(SCALE * (keys @ q[position, head]), dim=0)
            out[position, head] = weights @ values
    return out


class Text:
    """One sequence: all its queries, keys and values, its pages, and how far it has been fed."""

    def __init__(
        self, name: int, length: int, free: list[int], dtype: torch.dtype, width: int = WIDTH
    ) -> None:
        self.name = name
        self.q = torch.randn(length, HEADS, width).to(dtype)
        self.k = torch.randn(length, KV_HEADS, width).to(dtype)
        self.v = torch.randn(length, KV_HEADS, width).to(dtype)
        self.pages = tuple(free.pop() for _ in range(-(-length // PAGE)))
        self.done = 0
        self.out: list[Tensor] = []


def feed(cache: PagedKV, batch_id: int, work: list[tuple[Text, int]], window: int | None) -> None:
    """Run the next ``count`` tokens of each text as one batch."""
    spans, rows, positions = [], 0, []
    for text, count in work:
        end = text.done + count
        spans.append(
            Span(sequence_id=text.name, start=rows, length=count, context=end, pages=text.pages)
        )
        positions += range(text.done, end)
        rows += count
    batch = Batch(
        id=batch_id,
        tokens=torch.zeros(rows, dtype=torch.int64),
        positions=torch.tensor(positions),
        spans=tuple(spans),
        logit_rows=torch.empty(0, dtype=torch.int64),
    )
    parts = [[getattr(t, part)[t.done : t.done + n] for t, n in work] for part in "qkv"]
    q, k, v = (torch.cat(part) for part in parts)
    out = cache.layers[0].attend(q, k, v, batch, scale=SCALE, window=window)
    for (text, count), span in zip(work, spans, strict=True):
        text.out.append(out[span.start : span.start + span.length])
        text.done += count


def run(
    dtype: torch.dtype, window: int | None, seed: int, width: int = WIDTH
) -> list[tuple[Tensor, Tensor]]:
    """Feed texts of many lengths in random pieces; (what came out, what should)."""
    torch.manual_seed(seed)
    choice = random.Random(seed)
    free = list(range(PAGES))
    choice.shuffle(free)
    lengths = [1, 2, PAGE, PAGE + 1, 30, 60, 150, 300]
    texts = [Text(name, length, free, dtype, width) for name, length in enumerate(lengths)]
    cache = PagedKV(
        layers=1, kv_heads=KV_HEADS, head_dim=width, pages=PAGES, page_size=PAGE, dtype=dtype
    )
    batch_id = 0
    while unfinished := [text for text in texts if text.done < len(text.q)]:
        work = []
        for text in choice.sample(unfinished, choice.randint(1, len(unfinished))):
            piece = choice.choice([1, 1, 2, 7, 40, 140])
            work.append((text, min(piece, len(text.q) - text.done)))
        feed(cache, batch_id, work, window)
        batch_id += 1
    return [
        (
            torch.cat(text.out).float(),
            plain_attention(text.q.float(), text.k.float(), text.v.float(), window),
        )
        for text in texts
    ]


@pytest.mark.parametrize("window", [None, 1, 3, 16, 50, 1000])
def test_ragged_batches_attend_as_each_sequence_alone(window: int | None) -> None:
    for seed in range(2):
        for got, expected in run(torch.float32, window, seed):
            torch.testing.assert_close(got, expected, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("width", [8, 32, 96])
@pytest.mark.parametrize("window", [None, 1, 50])
def test_bf16_stays_within_its_rounding(window: int | None, width: int) -> None:
    """Heads of 32 numbers and multiples go through our own kernel, where there is one."""
    for got, expected in run(torch.bfloat16, window, 0, width):
        torch.testing.assert_close(got, expected, atol=2e-2, rtol=2e-2)


def test_garbage_in_unused_slots_never_reaches_a_result() -> None:
    torch.manual_seed(0)
    text = Text(0, 6, list(range(PAGES)), torch.float32)
    cache = PagedKV(
        layers=1, kv_heads=KV_HEADS, head_dim=WIDTH, pages=PAGES, page_size=PAGE, dtype=text.q.dtype
    )
    cache.layers[0].keys.fill_(1e30)
    cache.layers[0].values.fill_(1e30)
    feed(cache, 0, [(text, 5)], None)
    feed(cache, 1, [(text, 1)], None)
    expected = plain_attention(text.q, text.k, text.v, None)
    torch.testing.assert_close(torch.cat(text.out), expected, atol=2e-6, rtol=2e-6)


def test_the_size_of_the_cache_is_what_its_pages_take() -> None:
    cache = PagedKV(layers=3, kv_heads=2, head_dim=8, pages=5, page_size=4, dtype=torch.bfloat16)
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert cache.size_bytes == held
    one = page_bytes(layers=3, kv_heads=2, head_dim=8, page_size=4, dtype=torch.bfloat16)
    assert cache.size_bytes == 5 * one
