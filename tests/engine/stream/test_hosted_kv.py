"""Decoding where keys and values live gives what it gives on the device."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.paged import piece
from tests.engine.stream.late_lanes import late_lanes
from tests.engine.stream.texts import PAGE, PAGES, Texts

from banyan.engine.batch import Batch
from banyan.engine.kv import CacheSize, PagedKV
from banyan.engine.stream.hosted_kv import HostedKV

HEADS, KV_HEADS, WIDTH = 4, 2, 8
KEPT = [torch.float32, torch.int8]


def caches(layers: int, kept: torch.dtype) -> tuple[HostedKV, PagedKV]:
    size = CacheSize(
        layers=layers,
        kv_heads=KV_HEADS,
        head_dim=WIDTH,
        pages=PAGES,
        page_size=PAGE,
        dtype=torch.float32,
        kept=kept,
        device=torch.device("cpu"),
    )
    return HostedKV(size, lanes=late_lanes()), PagedKV(size)


def attend_both(hosted: HostedKV, resident: PagedKV, batch: Batch) -> None:
    for ours, theirs in zip(hosted.layers, resident.layers, strict=True):
        q = torch.randn(len(batch.tokens), HEADS, WIDTH)
        k, v = (torch.randn(len(batch.tokens), KV_HEADS, WIDTH) for _ in range(2))
        found, expected = (
            each.attend(q, k, v, batch, scale=0.3, window=None) for each in (ours, theirs)
        )
        torch.testing.assert_close(found, expected, atol=2e-6, rtol=2e-6)


@settings(max_examples=30, deadline=None)
@given(layers=st.integers(1, 4), seed=st.integers(0, 10_000), kept=st.sampled_from(KEPT))
def test_any_mix_of_prompts_and_single_tokens_attends_as_on_the_device(layers, seed, kept):
    torch.manual_seed(seed)
    hosted, resident = caches(layers, kept)
    texts = Texts(seed)
    for _ in range(8):
        attend_both(hosted, resident, texts.batch())
    hosted.close()


@pytest.mark.parametrize("kept", KEPT)
def test_a_longer_piece_after_single_tokens_sees_what_the_host_has_added(kept):
    torch.manual_seed(0)
    hosted, resident = caches(1, kept)
    pages = [3, 1, 4, 5, 9]
    for begin, end in [(0, 6), (6, 7), (7, 8), (8, 13), (13, 14), (14, 20)]:
        attend_both(hosted, resident, piece([0] * 20, begin, end, pages, PAGE))
    hosted.close()
