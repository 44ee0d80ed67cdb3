"""Paged attention against plain attention over each whole sequence."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from tests.engine.paged import paged_logits
from torch import Tensor

from banyan.core.layout import ModelShape
from banyan.engine.batch import Batch, Span
from banyan.engine.kv import CacheSize, PagedKV, page_bytes
from banyan.engine.model import load_model
from banyan.engine.pools import make_pool
from banyan.engine.tokenizer import Tokenizer
from banyan.plan.matrices import SCALE_BYTES
from banyan.plan.shares import whole
from banyan.plan.sizes import kv_bytes

STORY = (
    "The lighthouse keeper climbed the stairs every evening at six, counting the steps as he went, "
    "and lit the lamp before the first ship could pass the rocks. One winter the storm took the "
    "boat that brought his oil, and he burned his chairs, then his table, then the stairs "
    "themselves, one by one from the bottom, until the light stood alone above the sea."
)
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


def read_back(rows: Tensor, kept: torch.dtype) -> Tensor:
    """Keys or values [T, kv_heads, d] as a cache that keeps them so gives them back."""
    pool = make_pool((1, len(rows), *rows.shape[1:]), kept, rows.dtype, torch.device("cpu"))
    pool.put(torch.arange(len(rows)), rows)
    return pool.gather(torch.tensor([0]), 1)[0].transpose(0, 1).float()


def run(
    dtype: torch.dtype, window: int | None, seed: int, kept: torch.dtype, width: int = WIDTH
) -> list[tuple[Tensor, Tensor]]:
    """Feed texts of many lengths in random pieces; (what came out, what should)."""
    torch.manual_seed(seed)
    choice = random.Random(seed)
    free = list(range(PAGES))
    choice.shuffle(free)
    lengths = [1, 2, PAGE, PAGE + 1, 30, 60, 150, 300]
    texts = [Text(name, length, free, dtype, width) for name, length in enumerate(lengths)]
    cache = PagedKV(
        CacheSize(
            layers=1,
            kv_heads=KV_HEADS,
            head_dim=width,
            pages=PAGES,
            page_size=PAGE,
            dtype=dtype,
            kept=kept,
        )
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
            plain_attention(
                text.q.float(), read_back(text.k, kept), read_back(text.v, kept), window
            ),
        )
        for text in texts
    ]


@pytest.mark.parametrize(
    ("window", "kept"),
    [
        *((window, torch.float32) for window in (None, 1, 3, 16, 50, 1000)),
        *((window, torch.int8) for window in (None, 3, 50)),
        (None, torch.bfloat16),
    ],
)
def test_ragged_batches_attend_as_each_sequence_alone(
    window: int | None, kept: torch.dtype
) -> None:
    for seed in range(2):
        for got, expected in run(torch.float32, window, seed, kept):
            torch.testing.assert_close(got, expected, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize(
    ("window", "width", "kept"),
    [
        *((window, width, torch.bfloat16) for window in (None, 1, 50) for width in (8, 32, 96)),
        (None, 32, torch.int8),
    ],
)
def test_bf16_stays_within_its_rounding(window: int | None, width: int, kept: torch.dtype) -> None:
    """Heads of 32 numbers and multiples go through our own kernel, where there is one."""
    for got, expected in run(torch.bfloat16, window, 0, kept, width):
        torch.testing.assert_close(got, expected, atol=2e-2, rtol=2e-2)


def test_garbage_in_unused_slots_never_reaches_a_result() -> None:
    torch.manual_seed(0)
    text = Text(0, 6, list(range(PAGES)), torch.float32)
    cache = PagedKV(
        CacheSize(
            layers=1,
            kv_heads=KV_HEADS,
            head_dim=WIDTH,
            pages=PAGES,
            page_size=PAGE,
            dtype=text.q.dtype,
        )
    )
    for pool in (cache.layers[0].keys, cache.layers[0].values):
        pool.planes[0].fill_(1e30)
    feed(cache, 0, [(text, 5)], None)
    feed(cache, 1, [(text, 1)], None)
    expected = plain_attention(text.q, text.k, text.v, None)
    torch.testing.assert_close(torch.cat(text.out), expected, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize(
    ("kept", "item", "scale"), [(torch.bfloat16, 2, 0), (torch.int8, 1, SCALE_BYTES)]
)
def test_the_size_of_the_cache_is_what_its_pages_take_and_what_the_planner_counts(
    kept: torch.dtype, item: int, scale: int
) -> None:
    cache = PagedKV(
        CacheSize(
            layers=3, kv_heads=2, head_dim=8, pages=5, page_size=4, dtype=torch.bfloat16, kept=kept
        )
    )
    pools = [pool for layer in cache.layers for pool in (layer.keys, layer.values)]
    assert cache.size_bytes == sum(plane.nbytes for pool in pools for plane in pool.planes)
    one = page_bytes(layers=3, kv_heads=2, head_dim=8, page_size=4, kept=kept)
    assert cache.size_bytes == 5 * one
    shape = ModelShape(layers=3, hidden=32, ffn=32, heads=4, kv_heads=2, head_dim=8, vocab=64)
    planned = kv_bytes(
        shape,
        whole(shape),
        tokens=20,
        item_bytes=item,
        scale_bytes=scale,
        page_tokens=4,
    )
    assert cache.size_bytes == planned


@pytest.mark.models
def test_int8_pages_keep_the_packaged_models_logits_within_the_stated_bound(
    models_home: Path,
) -> None:
    """Under teacher forcing, of a prompt and of single tokens after it: no logit moves by more than
    2 (they spread by 8.7), the distributions by 0.003 nats on average, and another token is
    likeliest only where the first two were closer than twice what a logit may move."""
    path = models_home / "models" / "smollm2-135m-instruct"
    model = load_model(path, "bf16", 1)
    ids = Tokenizer.load(path).encode(STORY, special=False)
    lengths = [len(ids) - 12] + [1] * 12

    def logits(kept: torch.dtype) -> Tensor:
        cache = PagedKV(
            CacheSize(
                layers=model.config.layers,
                kv_heads=model.config.kv_heads,
                head_dim=model.config.head_dim,
                pages=10,
                page_size=16,
                dtype=model.dtype,
                kept=kept,
            )
        )
        pages = [9, 3, 4, 0, 1, 2, 5, 6, 7, 8]
        return paged_logits(model, cache.layers, ids, lengths, pages=pages, page_size=16)

    exact, kept = logits(torch.bfloat16), logits(torch.int8)
    assert (kept - exact).abs().max() <= 2
    chances = exact.log_softmax(dim=-1)
    divergence = (chances.exp() * (chances - kept.log_softmax(dim=-1))).sum(dim=-1)
    assert divergence.mean() <= 3e-3
    best = exact.topk(2, dim=-1).values
    others = kept.argmax(dim=-1) != exact.argmax(dim=-1)
    assert (best[:, 0] - best[:, 1])[others].lt(4.0).all()
