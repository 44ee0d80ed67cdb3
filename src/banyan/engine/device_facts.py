"""Device facts: what this rank's device does per second, measured on layers that it has loaded.

Whole layers are timed, not only their products, so that norms, rotations and casts are in the rate
of a prompt's rows and in the fixed cost of a layer. Ranks that share cores or a card measure at the
same moment, so each sees its part of the whole.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import psutil
import torch

from banyan.core.layout import WIDE_ROWS, DeviceFacts, DeviceKind, Rates
from banyan.engine.batch import Batch, OneRank, Span
from banyan.engine.kv import CacheSize, PagedKV
from banyan.engine.linear import WIDE_INT8_ROWS, Int8, Linear, Packed4, Stacked
from banyan.engine.model import Model
from banyan.engine.weights import LayerWeights
from banyan.plan.devices import CARDS
from banyan.plan.matrices import GRAIN_BYTES, WeightKind
from banyan.plan.shares import GRAIN
from banyan.plan.sizes import computed_kind

PREFILL_ROWS: Final = {"cpu": 256, "cuda": 2048}
"""Rows that stand for prefill, enough to keep the device busy."""
RUNS: Final = 3
MOST_RUNS: Final = 30
RUNS_S: Final = 0.25
"""Short work is timed again and again for so long."""
LAYERS: Final = 4
"""Layers that are timed: their weights are more than a processor's cache holds."""
PAGE: Final = 16
OfRuns = Callable[[list[float]], float]
DOWN: Final = 1.5
"""Numbers of a gated network for each one of its entry: gate and up are followed by down."""


@torch.inference_mode()
def measure_device(
    model: Model, kind: WeightKind, *, of_runs: OfRuns = statistics.median
) -> DeviceFacts:
    """Rates of the model's device in the precisions that weights of ``kind`` are computed in: by
    whole layers of one row and of ``PREFILL_ROWS``. ``of_runs`` chooses among the seconds of
    several runs."""
    bench, many = _Layers(model, of_runs), PREFILL_ROWS[model.device.type]
    spans = [(1, many)]
    wide = bench.wide_rows
    if kind == "packed+copy":
        spans = [(1, wide - 1), (wide, max(wide, many))]
    measured = tuple(bench.rates(computed_kind(kind, few, wide), few, many) for few, many in spans)
    name, device = "", model.device
    device_kind: DeviceKind = "cuda" if device.type == "cuda" else "cpu"
    if device_kind == "cuda":
        name = torch.cuda.get_device_name(device)
    return DeviceFacts(
        kind=device_kind,
        name=name,
        memory_bytes=_memory_bytes(device),
        weight_bandwidth=measured[0].weight_bandwidth,
        flops=measured[-1].flops,
        copy_bandwidth=_copy_bandwidth(device),
        layer_overhead_s=bench.overhead_s(measured[0]),
        measured=measured,
        wide_rows=wide,
    )


class _Layers:
    """The first layers of a model, to be timed."""

    def __init__(self, model: Model, of_runs: OfRuns) -> None:
        self._of_runs = of_runs
        count = min(LAYERS, model.config.layers)
        config = replace(
            model.config,
            layers=count,
            layer_ropes=model.config.layer_ropes[:count],
            windows=model.config.windows[:count],
        )
        self._model = Model(config, model.weights, model.dtype, device=model.device)
        self._kv = PagedKV(
            CacheSize(
                layers=count,
                kv_heads=config.kv_heads,
                head_dim=config.head_dim,
                pages=PREFILL_ROWS[model.device.type] // PAGE,
                page_size=PAGE,
                dtype=model.dtype,
                device=model.device,
            )
        )
        self._count = count

    @property
    def wide_rows(self) -> int:
        """Rows from which these layers use a copy, if they have one."""
        with self._model.weights.layer(0) as weights:
            found = [
                each.codes.wide_rows
                for each in (weights.qkv, *weights.ffn.entries)
                if isinstance(each, Packed4)
            ]
        return max(found, default=WIDE_ROWS)

    def rates(self, kind: str, few: int, many: int) -> Rates:
        """Reading as ``few`` rows do, products of ``many``."""
        config = self._model.config
        read = sum(self._each(lambda weights: _entry_bytes(weights, few)))
        output = config.heads * config.head_dim * config.hidden
        numbers = sum(self._each(lambda weights: _entry_rows(weights) * config.hidden + output))
        seen = many / 2  # causality hides half of the scores
        attention = 4 * many * seen * config.heads * config.head_dim * self._count
        return Rates(
            kind=kind,
            weight_bandwidth=read / self._entries_s(few),
            flops=(2 * numbers * many + attention) / self._layers_s(many),
        )

    def overhead_s(self, rates: Rates) -> float:
        """What one row takes in a layer beside reading the layer's weights."""
        reading_s = sum(self._each(_layer_bytes)) / rates.weight_bandwidth
        return max(0.0, self._layers_s(1) - reading_s) / self._count

    def _each(self, of: Callable[[LayerWeights], int]) -> list[int]:
        found = []
        for layer in range(self._count):
            with self._model.weights.layer(layer) as weights:
                found.append(of(weights))
        return found

    def _entries_s(self, rows: int) -> float:
        """The products that a token's activations enter a layer's halves by."""
        model = self._model
        x = torch.ones(rows, model.config.hidden, dtype=model.dtype, device=model.device)

        def multiply() -> None:
            for layer in range(self._count):
                with model.weights.layer(layer) as weights:
                    for entry in (weights.qkv, *weights.ffn.entries):
                        entry(x)

        return self._of_runs(_seconds(multiply, model.device))

    def _layers_s(self, rows: int) -> float:
        model, batch = self._model, _prompt(rows)
        x = torch.ones(rows, model.config.hidden, device=model.device)

        def run() -> None:
            model.run_layers(x.clone(), batch, self._kv.layers, OneRank())

        return self._of_runs(_seconds(run, model.device))


def _prompt(rows: int) -> Batch:
    pages = tuple(range(-(-rows // PAGE)))
    span = Span(sequence_id=0, start=0, length=rows, context=rows, pages=pages)
    return Batch(
        id=0,
        tokens=torch.zeros(rows, dtype=torch.int64),
        positions=torch.arange(rows),
        spans=(span,),
        logit_rows=torch.tensor([rows - 1]),
    )


def _entry_bytes(weights: LayerWeights, rows: int) -> int:
    return sum(_read_bytes(entry, rows) for entry in (weights.qkv, *weights.ffn.entries))


def _layer_bytes(weights: LayerWeights) -> int:
    network = sum(_read_bytes(entry, 1) for entry in weights.ffn.entries)
    return int(_read_bytes(weights.qkv, 1) + _read_bytes(weights.output, 1) + DOWN * network)


def _entry_rows(weights: LayerWeights) -> int:
    """Rows of a layer's matrices that a token meets, the output's aside."""
    network = sum(entry.out_features for entry in weights.ffn.entries)
    return int(weights.qkv.out_features + DOWN * network)


def _read_bytes(linear: Linear, rows: int) -> int:
    """What a product of so few rows reads, as the cost model counts it: one of two copies, and of
    packed weights a zero for each grain, though ours may keep none."""
    if isinstance(linear, Stacked):
        return sum(_read_bytes(part, rows) for part in linear.parts)
    if isinstance(linear, Packed4):
        if linear.wide is not None and rows >= linear.codes.wide_rows:
            return linear.wide.size_bytes
        return linear.codes.numbers // GRAIN * GRAIN_BYTES
    if isinstance(linear, Int8) and linear.wide is not None:
        wide = linear.wide.size_bytes
        return wide if rows >= WIDE_INT8_ROWS else linear.size_bytes - wide
    return linear.size_bytes


def _seconds(work: Callable[[], object], device: torch.device) -> list[float]:
    """Of several runs, after one that touches everything for the first time."""
    work()
    found: list[float] = []
    while len(found) < RUNS or (sum(found) < RUNS_S and len(found) < MOST_RUNS):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - started)
    return found


def _memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    return int(psutil.virtual_memory().total)


def _copy_bandwidth(device: torch.device) -> float:
    """Bytes per second from host memory to a card; a processor's disk is not measured."""
    if device.type == "cpu":
        return CARDS["cpu"].copy_bandwidth
    source = torch.zeros(16 << 20, dtype=torch.uint8, pin_memory=True)
    target = torch.empty_like(source, device=device)
    seconds = _seconds(lambda: target.copy_(source, non_blocking=True), device)
    return source.numel() / statistics.median(seconds)
