"""Device facts: what this rank's device does per second, measured on the weights it has loaded.

Ranks that share cores or a card measure at the same moment, so each sees its part of the whole.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Final

import psutil
import torch

from banyan.core.layout import DeviceFacts, DeviceKind
from banyan.engine.linear import Linear, Packed4
from banyan.engine.model import Model

PREFILL_ROWS: Final = 256
"""Rows of the product that stands for prefill."""
RUNS: Final = 3
LAYERS: Final = 4
"""Layers whose weights are read for the rate of decoding: more than a processor's cache holds."""


@torch.inference_mode()
def measure_device(model: Model) -> DeviceFacts:
    """Time products with the first layers' own matrices: one row, and ``PREFILL_ROWS`` rows."""
    hidden, device = model.config.hidden, model.device
    one = torch.ones(1, hidden, dtype=model.dtype, device=device)
    many = torch.ones(PREFILL_ROWS, hidden, dtype=model.dtype, device=device)
    layers = range(min(LAYERS, model.config.layers))
    weights = sum(_entry_bytes(model, layer) for layer in layers)
    numbers = sum(_entry_rows(model, layer) for layer in layers) * hidden
    decode_s = _median_s(lambda: _multiply(model, one, layers), device)
    prefill_s = _median_s(lambda: _multiply(model, many, layers), device)
    kind: DeviceKind = "cuda" if device.type == "cuda" else "cpu"
    return DeviceFacts(
        kind=kind,
        name=torch.cuda.get_device_name(device) if kind == "cuda" else "",
        memory_bytes=_memory_bytes(device),
        weight_bandwidth=weights / decode_s,
        flops=2 * numbers * PREFILL_ROWS / prefill_s,
        copy_bandwidth=_copy_bandwidth(device),
    )


def _multiply(model: Model, x: torch.Tensor, layers: range) -> None:
    for layer in layers:
        with model.weights.layer(layer) as weights:
            weights.qkv(x)
            for entry in weights.ffn.entries:
                entry(x)


def _entry_bytes(model: Model, layer: int) -> int:
    with model.weights.layer(layer) as weights:
        entries = [weights.qkv, *weights.ffn.entries]
        return sum(_read_bytes(entry) for entry in entries)


def _read_bytes(linear: Linear) -> int:
    """What a product with one row reads: not the copy that is kept for many rows."""
    if isinstance(linear, Packed4) and linear.wide is not None:
        return linear.size_bytes - linear.wide.size_bytes
    return linear.size_bytes


def _entry_rows(model: Model, layer: int) -> int:
    with model.weights.layer(layer) as weights:
        entries = [weights.qkv, *weights.ffn.entries]
        return sum(entry.out_features for entry in entries)


def _median_s(work: Callable[[], None], device: torch.device) -> float:
    def timed() -> float:
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - started

    timed()
    return statistics.median(timed() for _ in range(RUNS))


def _memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    return int(psutil.virtual_memory().total)


def _copy_bandwidth(device: torch.device) -> float:
    """Bytes per second from host memory to the device (on a CPU: within memory)."""
    source = torch.zeros(16 << 20, dtype=torch.uint8, pin_memory=device.type == "cuda")
    target = torch.empty_like(source, device=device)
    seconds = _median_s(lambda: _copy(target, source), device)
    return source.numel() / seconds


def _copy(target: torch.Tensor, source: torch.Tensor) -> None:
    target.copy_(source, non_blocking=True)
