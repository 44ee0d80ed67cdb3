"""Pace: how fast this rank reads staged layers and computes them: what the choice rests on."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import torch

from banyan.engine.config import ModelConfig
from banyan.engine.linear import CPU
from banyan.engine.stream.direct import aligned
from banyan.engine.stream.staging import Staging
from banyan.engine.weights import Head, LayerWeights
from banyan.plan.budget import Pace

RUNS: Final = 3


@torch.inference_mode()
def measure_pace(
    staging: Staging, config: ModelConfig, head: Head | None, dtype: torch.dtype
) -> Pace:
    """Time the reading of a few layers, and one's products with a single row, as in decoding."""
    layers = range(min(RUNS, len(staging.layers)))
    buffer = aligned(max(staging.layers[layer].size_bytes for layer in layers))
    staging.read(0, buffer)  # the first touch of the buffer is not the disk's time
    rates = []
    for layer in layers:
        seconds = _seconds(partial(staging.read, layer, buffer))
        rates.append(staging.layers[layer].size_bytes / seconds)
    weights = staging.read(0, buffer)
    layer_s = median_s(partial(multiply, weights, config, dtype))
    row = torch.ones(1, config.hidden, dtype=dtype)
    rest_s = 0.0 if head is None else median_s(partial(head.linear, row))
    return Pace(copy_bandwidth=statistics.median(rates), layer_s=layer_s, rest_s=rest_s)


def multiply(
    weights: LayerWeights, config: ModelConfig, dtype: torch.dtype, device: torch.device = CPU
) -> None:
    """A layer's products with a single row."""
    row = torch.ones(1, config.hidden, dtype=dtype, device=device)
    weights.qkv(row)
    weights.output(torch.ones(1, config.heads * config.head_dim, dtype=dtype, device=device))
    weights.ffn(row)


def median_s(work: Callable[[], object]) -> float:
    """The median time of a few runs, after one."""
    work()
    return statistics.median(_seconds(work) for _ in range(RUNS))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
