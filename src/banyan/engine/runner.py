"""Runner: what a single rank holds and does in a step: its model and its KV cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from banyan.core.errors import InputError
from banyan.engine.batch import Batch, Comm, LayerKV
from banyan.engine.config import EngineConfig, ModelConfig
from banyan.engine.kv import PagedKV, page_bytes


class Forward(Protocol):
    """What a runner needs of a model (``model.Model`` is one)."""

    @property
    def config(self) -> ModelConfig: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def size_bytes(self) -> int: ...

    def forward(self, batch: Batch, kv: Sequence[LayerKV], comm: Comm) -> Tensor:
        """Float32 logits [R, vocab] of ``batch.logit_rows``."""
        ...


def count_pages(model: Forward, config: EngineConfig) -> int:
    """Pages that fit ``kv_cache_bytes``, but no more than all sequences at full length can use.

    Raises ``InputError`` when not even one page fits.
    """
    one = page_bytes(
        layers=model.config.layers,
        kv_heads=model.config.kv_heads,
        head_dim=model.config.head_dim,
        page_size=config.page_size,
        dtype=model.dtype,
    )
    if config.kv_cache_bytes < one:
        raise InputError(
            f"kv_cache_bytes = {config.kv_cache_bytes} holds no page: one takes {one} bytes.",
            remedy="Raise kv_cache_bytes.",
        )
    useful = config.max_sequences * -(-model.config.context_length // config.page_size)
    return min(config.kv_cache_bytes // one, useful)


class Runner:
    """A ``StepRunner`` that is alone: it has its batch's logits at once."""

    def __init__(self, model: Forward, *, pages: int, page_size: int, comm: Comm) -> None:
        self.kv = PagedKV(
            layers=model.config.layers,
            kv_heads=model.config.kv_heads,
            head_dim=model.config.head_dim,
            pages=pages,
            page_size=page_size,
            dtype=model.dtype,
        )
        self._model = model
        self._comm = comm

    @torch.inference_mode()
    def start(self, batch: Batch) -> Callable[[], Tensor]:
        """See ``StepRunner``."""
        logits = self._model.forward(batch, self.kv.layers, self._comm)
        return lambda: logits

    def close(self) -> None:
        """Nobody else is to be told."""
