"""The ways of ``plan/keys.py`` as a rank has them, and the cache of the one that was chosen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch

from banyan.engine.config import EngineConfig, ModelConfig
from banyan.engine.kv import CacheSize, PagedKV, count_pages, kept_dtype, page_bytes
from banyan.engine.pools import plane_bytes
from banyan.engine.stream.direct import rounded
from banyan.engine.stream.disk_pages import DiskPages, buffer_bytes
from banyan.engine.stream.hosted_kv import HostedKV
from banyan.engine.stream.kv import StreamedKV
from banyan.engine.stream.kv_rates import measure_rates
from banyan.engine.stream.lanes import Lanes
from banyan.engine.stream.thread_lane import threads
from banyan.plan.budget import KvKind, KvWay
from banyan.plan.keys import kv_ways

KEPT: Final[dict[KvKind, torch.dtype]] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "int8": torch.int8,
}
SCALE_PLANES: Final = (1, 3)
"""Of a layer's planes in int8: keys and their scales, values and theirs."""
KINDS: Final = {dtype: kind for kind, dtype in KEPT.items()}


def ways_of(model: ModelConfig, dtype: torch.dtype, config: EngineConfig) -> Iterator[KvWay]:
    """What a rank within a budget may do with the pages that ``config`` asks for. ``model`` is its
    own share. Raises as ``count_pages``."""
    kept, on_card = kept_dtype(config, dtype), config.device != "cpu"
    widest = _layer_page_bytes(model, config, max(kept, dtype, key=lambda each: each.itemsize))
    return kv_ways(
        model.shape,
        computed=KINDS[dtype],
        chosen=None if config.kv_precision == "auto" else KINDS[kept],
        pages=count_pages(model, dtype, config),
        page_tokens=config.page_size,
        tokens=model.context_length,
        record=int if on_card else rounded,
        scales_stay=not on_card,
        buffers=0 if on_card else 2 * buffer_bytes(widest),
        rates=measure_rates(model, config, dtype) if on_card else None,
    )


def make_cache(
    model: ModelConfig,
    dtype: torch.dtype,
    config: EngineConfig,
    pages: int,
    way: KvWay | None = None,
) -> PagedKV | StreamedKV | HostedKV:
    """The KV cache of a model or of a rank's share of one, in the way that its budget has chosen.
    Raises ``EngineFailed`` where the disk has no room for it."""
    size = CacheSize(
        layers=model.layers,
        kv_heads=model.kv_heads,
        head_dim=model.head_dim,
        pages=pages,
        page_size=config.page_size,
        dtype=dtype,
        kept=kept_dtype(config, dtype) if way is None else KEPT[way.kept],
        device=torch.device(config.device),
    )
    if way is None or not way.far:
        return PagedKV(size)
    if way.on_host:
        return HostedKV(size, lanes=Lanes.of(size.device))
    if size.device.type == "cpu":
        return StreamedKV(size, lanes=threads(), far=_on_disk(size, Path(config.staging)))
    return StreamedKV(size, lanes=Lanes.of(size.device))


def _on_disk(size: CacheSize, folder: Path) -> DiskPages:
    return DiskPages(
        folder,
        layers=size.layers,
        pages=size.pages,
        plane_bytes=2 * plane_bytes(size.pool, size.kept_as),  # of keys, and of values
        stay=SCALE_PLANES if size.kept_as == torch.int8 else (),
    )


def _layer_page_bytes(model: ModelConfig, config: EngineConfig, kept: torch.dtype) -> int:
    return page_bytes(
        layers=1,
        kv_heads=model.kv_heads,
        head_dim=model.head_dim,
        page_size=config.page_size,
        kept=kept,
    )
