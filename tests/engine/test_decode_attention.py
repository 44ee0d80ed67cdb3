"""The kernel that reads keys where they lie against attention over gathered, padded ones."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from banyan.engine.batch import Span
from banyan.engine.decode_attention import (
    InPlace,
    can_read_in_place,
    plan_in_place,
    plan_padded,
)
from banyan.engine.pools import DensePool, Pool, Shape, make_pool

PAGE, PAGES = 4, 64
CPU = torch.device("cpu")

needs_kernel = pytest.mark.skipif(
    not can_read_in_place(torch.bfloat16, torch.bfloat16, CPU, 64),
    reason="needs a C compiler and AVX-512 BF16",
)


def spans_of(contexts: list[int]) -> list[Span]:
    free = iter(torch.randperm(PAGES, generator=torch.Generator().manual_seed(1)).tolist())
    return [
        Span(
            sequence_id=row,
            start=row,
            length=1,
            context=context,
            pages=tuple(next(free) for _ in range(-(-context // PAGE))),
        )
        for row, context in enumerate(contexts)
    ]


def filled(rows: torch.Tensor, shape: Shape, kept: torch.dtype, dtype: torch.dtype) -> Pool:
    pool = make_pool(shape, kept, dtype, CPU)
    pool.put(torch.arange(PAGES * PAGE), rows)
    return pool


@needs_kernel
@settings(deadline=None)
@given(
    contexts=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    kv_heads=st.integers(1, 3),
    queries=st.integers(1, 18),
    width=st.sampled_from([32, 64, 96, 128]),
    window=st.none() | st.integers(1, 70),
    threads=st.integers(1, 3),
    kept=st.sampled_from([torch.bfloat16, torch.int8]),
)
def test_both_ways_attend_alike(contexts, kv_heads, queries, width, window, threads, kept):
    generator = torch.Generator().manual_seed(2)
    spans, scale = spans_of(contexts), width**-0.5
    q = torch.randn(len(spans), kv_heads * queries, width, generator=generator).bfloat16()
    numbers = torch.randn(2, PAGES * PAGE, kv_heads, width, generator=generator).bfloat16()
    shape = (PAGES, PAGE, kv_heads, width)
    keys, values = (filled(part, shape, kept, torch.bfloat16) for part in numbers)
    wide_keys, wide_values = (filled(part, shape, kept, torch.float32) for part in numbers)
    [ours] = plan_in_place(spans, page_size=PAGE, window=window)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = ours.attend(q, keys, values, scale).float()
    finally:
        torch.set_num_threads(before)
    padded = plan_padded(spans, page_size=PAGE, window=window, dtype=torch.float32, device=CPU)
    for group in padded:
        exact = group.attend(q[group.rows].float(), wide_keys, wide_values, scale)
        torch.testing.assert_close(found[group.rows], exact, atol=2e-3, rtol=2**-8)


@needs_kernel
def test_scores_of_any_size_give_a_softmax_without_overflow():
    keys = torch.zeros(2, PAGE, 1, 32).bfloat16()
    keys[0, 0] = 100.0
    values = torch.arange(2.0 * PAGE).view(2, PAGE, 1, 1).expand(-1, -1, -1, 32).bfloat16()
    group = InPlace(rows=torch.tensor([0]), slots=torch.arange(8), bounds=torch.tensor([0, 8]))
    pools = [DensePool(part, torch.bfloat16) for part in (keys, values)]
    sharp = group.attend(torch.full((1, 1, 32), 100.0).bfloat16(), *pools, 1.0)
    assert torch.equal(sharp, torch.zeros_like(sharp))
    even = group.attend(torch.zeros(1, 1, 32).bfloat16(), *pools, 1.0)
    assert torch.equal(even, torch.full_like(even, 3.5))


def test_it_is_for_bf16_heads_of_whole_vectors_on_the_cpu():
    bf16, card = torch.bfloat16, torch.device("cuda")
    assert not can_read_in_place(torch.float32, torch.float32, CPU, 64)
    assert not can_read_in_place(torch.float32, torch.int8, CPU, 64)
    assert not can_read_in_place(bf16, torch.float32, CPU, 64)
    assert not can_read_in_place(bf16, bf16, CPU, 80)
    assert not can_read_in_place(bf16, torch.int8, CPU, 544)
    assert not can_read_in_place(bf16, bf16, card, 64)
