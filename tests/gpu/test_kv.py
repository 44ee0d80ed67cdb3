"""Keys and values that stay on a card, visit it, or are attended to beside it, on a real card."""

from __future__ import annotations

import pytest
import torch
from tests.engine.stream.texts import PAGE, PAGES, Texts

from banyan.core.layout import ModelShape
from banyan.engine.config import EngineConfig
from banyan.engine.kv import CacheSize, PagedKV
from banyan.engine.stream.hosted_kv import HostedKV
from banyan.engine.stream.kv import StreamedKV
from banyan.engine.stream.lanes import Lanes
from banyan.plan.keys import kv_ways

LAYERS, HEADS, KV_HEADS, WIDTH, STEPS = 5, 8, 2, 64, 20
needs_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a card")
pytestmark = needs_card


def caches(kept: torch.dtype) -> tuple[PagedKV, StreamedKV, HostedKV]:
    device = torch.device("cuda:0")
    size = CacheSize(
        layers=LAYERS,
        kv_heads=KV_HEADS,
        head_dim=WIDTH,
        pages=PAGES,
        page_size=PAGE,
        dtype=torch.bfloat16,
        kept=kept,
        device=device,
    )
    lanes = [Lanes.of(device) for _ in range(2)]
    return PagedKV(size), StreamedKV(size, lanes=lanes[0]), HostedKV(size, lanes=lanes[1])


@pytest.mark.parametrize("kept", [torch.bfloat16, torch.int8])
@pytest.mark.parametrize("seed", range(4))
@torch.inference_mode()
def test_what_is_attended_to_is_the_same_wherever_keys_live(kept: torch.dtype, seed: int) -> None:
    resident, streamed, hosted = caches(kept)
    texts = Texts(seed)
    torch.manual_seed(seed)
    for _ in range(STEPS):
        batch = texts.batch()
        rows = len(batch.tokens)
        for layer in range(LAYERS):
            q = torch.randn(rows, HEADS, WIDTH, dtype=torch.bfloat16, device="cuda:0")
            k, v = torch.randn(2, rows, KV_HEADS, WIDTH, dtype=torch.bfloat16, device="cuda:0")
            found = [
                cache.layers[layer].attend(q, k, v, batch, scale=0.3, window=None)
                for cache in (resident, streamed, hosted)
            ]
            assert torch.equal(found[0], found[1])
            torch.testing.assert_close(found[2], found[0], atol=2e-2, rtol=2e-2)
    streamed.close()
    hosted.close()


def test_the_card_holds_what_was_counted() -> None:
    shape = ModelShape(
        layers=LAYERS, hidden=512, ffn=512, heads=HEADS, kv_heads=KV_HEADS, head_dim=WIDTH, vocab=64
    )
    config = EngineConfig(page_size=PAGE)
    ways = kv_ways(
        shape,
        computed="bf16",
        chosen="bf16",
        pages=PAGES,
        page_tokens=config.page_size,
        tokens=PAGES * PAGE,
        record=int,
        scales_stay=False,
        buffers=0,
    )
    for way, cache in zip(ways, caches(torch.bfloat16), strict=False):
        held = cache.near_bytes if isinstance(cache, StreamedKV) else cache.size_bytes
        assert held == way.near
