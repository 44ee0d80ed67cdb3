"""Runner: what a single rank holds and does in a step: its model and its KV cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from banyan.core.cluster import ChoiceStats, LinkStats
from banyan.core.errors import InputError
from banyan.engine.batch import Batch, Comm, LayerKV, OneRank
from banyan.engine.config import EngineConfig, ModelConfig
from banyan.engine.kv import PagedKV, kept_dtype, page_bytes
from banyan.engine.loop import StepRunner
from banyan.engine.stats import MemoryWatch


class Forward(Protocol):
    """What a runner needs of a model (``model.Model`` is one)."""

    @property
    def config(self) -> ModelConfig: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def size_bytes(self) -> int: ...

    @property
    def memory(self) -> MemoryWatch | None: ...

    def forward(self, batch: Batch, kv: Sequence[LayerKV], comm: Comm) -> Tensor:
        """Float32 logits [R, vocab] of ``batch.logit_rows``."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model that is ready for steps, alone or as a group of ranks. ``pages`` of KV cache are what
    its scheduler may give out; the bytes are those of this process. ``links`` and ``choices`` as in
    ``EngineStats``; ``memory`` where there is a budget."""

    runner: StepRunner
    pages: int
    weights_bytes: int
    kv_cache_bytes: int
    context_length: int
    links: tuple[LinkStats, ...] = ()
    choices: tuple[ChoiceStats, ...] = ()
    memory: MemoryWatch | None = None


def alone(model: Forward, config: EngineConfig) -> Loaded:
    """A model on a single rank. Raises as ``count_pages``."""
    pages = count_pages(model.config, model.dtype, config)
    kv = make_cache(model.config, model.dtype, config, pages)
    return Loaded(
        runner=Runner(model, kv, OneRank()),
        pages=pages,
        weights_bytes=model.size_bytes,
        kv_cache_bytes=kv.size_bytes,
        context_length=model.config.context_length,
        memory=model.memory,
    )


def make_cache(
    model: ModelConfig,
    dtype: torch.dtype,
    config: EngineConfig,
    pages: int,
) -> PagedKV:
    """The KV cache of a model or of a rank's share of one."""
    return PagedKV(
        layers=model.layers,
        kv_heads=model.kv_heads,
        head_dim=model.head_dim,
        pages=pages,
        page_size=config.page_size,
        dtype=dtype,
        kept=kept_dtype(config, dtype),
        device=torch.device(config.device),
    )


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


class Runner:
    """A ``StepRunner`` that is alone: it has its batch's logits at once."""

    def __init__(self, model: Forward, kv: PagedKV, comm: Comm) -> None:
        self._model = model
        self._kv = kv
        self._comm = comm

    @torch.inference_mode()
    def start(self, batch: Batch) -> Callable[[], Tensor]:
        """See ``StepRunner``."""
        logits = self._model.forward(batch, self._kv.layers, self._comm)
        return lambda: logits

    def close(self) -> None:
        """Nothing is computed any more."""
        self._model.close()
