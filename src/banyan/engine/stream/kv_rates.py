"""KvRates of this machine: how fast keys and values come to its card, and are attended to where
they live."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Final

import torch

from banyan.engine.batch import Batch, Span
from banyan.engine.config import EngineConfig, ModelConfig
from banyan.engine.kv import CPU, CacheSize, PagedKV, kept_dtype
from banyan.engine.stream.pinned import host_memory
from banyan.plan.keys import KvRates

PAGES: Final = 256
"""What is moved and attended to: at 16 tokens a page, more than a processor's caches hold."""
RUNS: Final = 5


@torch.inference_mode()
def measure_rates(model: ModelConfig, config: EngineConfig, dtype: torch.dtype) -> KvRates:
    """Time one token's attention to ``PAGES`` pages of a layer, and the copying of as many."""
    kv = PagedKV(
        CacheSize(
            layers=1,
            kv_heads=model.kv_heads,
            head_dim=model.head_dim,
            pages=PAGES,
            page_size=config.page_size,
            dtype=dtype,
            kept=kept_dtype(config, dtype),
            device=CPU,
        )
    )
    context = PAGES * config.page_size
    batch = Batch(
        id=0,
        tokens=torch.zeros(1, dtype=torch.int64),
        positions=torch.tensor([context - 1]),
        spans=(Span(sequence_id=0, start=0, length=1, context=context, pages=tuple(range(PAGES))),),
        logit_rows=torch.empty(0, dtype=torch.int64),
    )
    q = torch.ones(1, model.heads, model.head_dim, dtype=dtype)
    k = torch.ones(1, model.kv_heads, model.head_dim, dtype=dtype)
    for pool in (kv.layers[0].keys, kv.layers[0].values):
        for plane in pool.planes:
            plane.fill_(1)  # untouched zeros are not read from memory
    attend_s = _median_s(lambda: kv.layers[0].attend(q, k, k, batch, scale=1.0, window=None))
    return KvRates(
        copied=kv.size_bytes / _copy_s(kv.size_bytes, torch.device(config.device)),
        attended=kv.size_bytes / attend_s,
    )


def _copy_s(size: int, device: torch.device) -> float:
    source = host_memory(size, device).data
    target = torch.empty_like(source, device=device)

    def copied() -> None:
        target.copy_(source, non_blocking=True)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return _median_s(copied)


def _median_s(work: Callable[[], object]) -> float:
    work()
    seconds = []
    for _ in range(RUNS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
