"""The paged KV cache: one pool of pages per layer, addressed by the page tables in a batch.

Which page belongs to whom is decided by the scheduler (``pages.py``); how a batch attends is
planned in ``attention.py``. A pool of one layer stands alone, so it can leave or live elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from banyan.core.errors import InputError
from banyan.engine.attention import AttentionPlan, attend_prefill, plan_attention
from banyan.engine.batch import Batch, LayerKV
from banyan.engine.config import EngineConfig, ModelConfig
from banyan.engine.decode_attention import can_read_in_place
from banyan.engine.pools import Pool, Shape, head_bytes, make_pool, pool_bytes

CPU = torch.device("cpu")


def page_bytes(
    *, layers: int, kv_heads: int, head_dim: int, page_size: int, kept: torch.dtype
) -> int:
    """Bytes of one page over all layers, keys and values, scales included."""
    return 2 * layers * page_size * kv_heads * head_bytes(head_dim, kept)


def kept_dtype(config: EngineConfig, dtype: torch.dtype) -> torch.dtype:
    """In which type keys and values are kept that are computed with as ``dtype``."""
    return {"auto": dtype, "bf16": torch.bfloat16, "int8": torch.int8}[config.kv_precision]


def count_pages(
    model: ModelConfig, dtype: torch.dtype, config: EngineConfig, layer_heads: int | None = None
) -> int:
    """Pages that fit ``kv_cache_bytes``, but no more than all sequences at full length can use.

    ``layer_heads``: key-value heads over all layers of the rank that has most of them (None: of
    this model). Raises ``InputError`` when not even one page fits.
    """
    one = page_bytes(
        layers=1,
        kv_heads=layer_heads or model.layers * model.kv_heads,
        head_dim=model.head_dim,
        page_size=config.page_size,
        kept=kept_dtype(config, dtype),
    )
    if config.kv_cache_bytes < one:
        raise InputError(
            f"kv_cache_bytes = {config.kv_cache_bytes} holds no page: one takes {one} bytes.",
            remedy="Raise kv_cache_bytes.",
        )
    useful = config.max_sequences * -(-model.context_length // config.page_size)
    return min(config.kv_cache_bytes // one, useful)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSize:
    """What the pools of a cache hold: ``pages`` of ``page_size`` tokens in each of ``layers``, on
    ``device``. Numbers are computed with as ``dtype`` and kept as ``kept`` (None: alike; see
    ``pools.py``)."""

    layers: int
    kv_heads: int
    head_dim: int
    pages: int
    page_size: int
    dtype: torch.dtype
    kept: torch.dtype | None = None
    device: torch.device = CPU

    @property
    def kept_as(self) -> torch.dtype:
        return self.dtype if self.kept is None else self.kept

    @property
    def pool(self) -> Shape:
        """Of the keys, and of the values, of one layer."""
        return self.pages, self.page_size, self.kv_heads, self.head_dim


class Cache(Protocol):
    """What a rank needs of a KV cache (``PagedKV``, ``stream.kv.StreamedKV``)."""

    @property
    def layers(self) -> Sequence[LayerKV]: ...

    @property
    def size_bytes(self) -> int: ...

    def close(self) -> None: ...


class PagedKV:
    """The pools of all layers, and the plans of batches that they share."""

    def __init__(self, size: CacheSize) -> None:
        plans = Plans(size)

        def pool() -> Pool:
            return make_pool(size.pool, size.kept_as, size.dtype, size.device)

        self.layers: Sequence[LayerPages] = [
            LayerPages(pool(), pool(), plans) for _ in range(size.layers)
        ]
        self.size_bytes = 2 * size.layers * pool_bytes(size.pool, size.kept_as)

    def close(self) -> None:
        """Its memory goes with it."""


class LayerPages:
    """The keys and values of one layer: a ``LayerKV`` over pages."""

    def __init__(self, keys: Pool, values: Pool, plans: Plans) -> None:
        self.keys = keys
        self.values = values
        self._plans = plans

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, batch: Batch, *, scale: float, window: int | None
    ) -> Tensor:
        """See ``LayerKV``; the result has q's shape and type."""
        plan = self._plans.of(batch, window)
        self.keys.put(plan.slots, k)
        self.values.put(plan.slots, v)
        if not plan.prefills and len(plan.decodes) == 1:
            return plan.decodes[0].attend(q, self.keys, self.values, scale)
        out = torch.empty_like(q)
        for group in plan.decodes:
            chosen = q.index_select(0, group.rows)
            out[group.rows] = group.attend(chosen, self.keys, self.values, scale)
        for prefill in plan.prefills:
            attend_prefill(q, self.keys, self.values, prefill, scale, out)
        return out


class Plans:
    """How batches attend, for all layers; a plan lives as long as its batch."""

    def __init__(self, size: CacheSize) -> None:
        self._size = size
        self._in_place = can_read_in_place(size.dtype, size.kept_as, size.device, size.head_dim)
        self._made: WeakKeyDictionary[Batch, dict[int | None, AttentionPlan]] = WeakKeyDictionary()

    def of(self, batch: Batch, window: int | None) -> AttentionPlan:
        """The plan of ``batch`` for layers of this window, made for the first that asks."""
        plans = self._made.setdefault(batch, {})
        if window not in plans:
            plans[window] = plan_attention(
                batch,
                page_size=self._size.page_size,
                window=window,
                dtype=self._size.dtype,
                device=self._size.device,
                in_place=self._in_place,
            )
        return plans[window]
