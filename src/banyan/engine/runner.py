"""Runner: what a single rank holds and does in a step: its model and its KV cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from banyan.core.cluster import ChoiceStats, LinkStats
from banyan.engine.batch import Batch, Comm, LayerKV, OneRank
from banyan.engine.config import EngineConfig, ModelConfig
from banyan.engine.kv import Cache, count_pages
from banyan.engine.loop import StepRunner
from banyan.engine.stats import MemoryWatch
from banyan.engine.stream.kv_choice import make_cache
from banyan.plan.budget import KvWay


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

    @property
    def kv_way(self) -> KvWay | None:
        """How its budget holds keys and values; None without a budget."""
        ...

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
    kv = make_cache(model.config, model.dtype, config, pages, model.kv_way)
    return Loaded(
        runner=Runner(model, kv, OneRank()),
        pages=pages,
        weights_bytes=model.size_bytes,
        kv_cache_bytes=kv.size_bytes,
        context_length=model.config.context_length,
        memory=model.memory,
    )


class Runner:
    """A ``StepRunner`` that is alone: it has its batch's logits at once."""

    def __init__(self, model: Forward, kv: Cache, comm: Comm) -> None:
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
        self._kv.close()
