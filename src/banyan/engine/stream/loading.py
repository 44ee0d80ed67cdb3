"""Loading within a budget: the staging file, what stays of it, and the window for the rest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import torch

from banyan.core.errors import InputError, StagingInvalid
from banyan.core.layout import Interval, Share, to_json
from banyan.engine.checkpoint import Checkpoint
from banyan.engine.config import EngineConfig, ModelConfig
from banyan.engine.four_bit import KERNEL
from banyan.engine.identity import identify
from banyan.engine.linear import CPU
from banyan.engine.native.library import kernel
from banyan.engine.slice_file import SUFFIX
from banyan.engine.stream import staging as staging_file
from banyan.engine.stream.disk import ToProcessor
from banyan.engine.stream.form import kinds
from banyan.engine.stream.kv_choice import ways_of
from banyan.engine.stream.staging import FORMAT, Staging, check_space, write_staging
from banyan.engine.stream.streamed import StreamedWeights
from banyan.engine.stream.timeline import private_bytes
from banyan.engine.stream.to_card import ToCard, hold_card_to
from banyan.engine.stream.way import Way
from banyan.engine.stream.window import Window
from banyan.engine.weights import LayerWeights, WeightReader, activation_dtype
from banyan.plan.budget import Demand, fit, with_keys
from banyan.plan.matrices import WeightKind
from banyan.plan.sizes import activation_bytes, layer_bytes

RESERVE_BYTES: Final = 64 << 20
"""What the process still takes after loading, beside what is counted: threads, compiled kernels,
requests."""
CARD_RESERVE_BYTES: Final = 256 << 20
"""What a card's libraries take beside what is counted: workspaces, and what is rounded up."""


def load_streamed(
    path: Path, checkpoint: Checkpoint, config: EngineConfig, share: Share | None
) -> StreamedWeights:
    """The checkpoint's weights within ``config.device_memory`` bytes, which hold everything else
    of this process, too. ``config`` is resolved; ``path`` is where the checkpoint was opened.

    Raises ``PlanImpossible`` where that cannot be, and ``EngineFailed`` where the staging file
    cannot be written.
    """
    _check(config)
    model, dtype = checkpoint.config, activation_dtype(config.precision)
    device = torch.device(config.device)
    if device != CPU:
        hold_card_to(config.device_memory, device)
    reader = WeightReader(checkpoint, config.precision, copy=config.packed_copy, device=device)
    experts = Interval(0, model.experts) if share is None else share.experts
    beside = _Beside(checkpoint, config, experts)
    embedding = reader.embedding(0 if share is None else share.vocab.begin)
    head = reader.head()
    ends = 0 if head is None else head.size_bytes
    if embedding is not None and device == CPU:
        ends += embedding.table.size_bytes
    expected = _expected_layers(model, config, experts)
    beside.demand(expected, ends=ends)  # refused before anything is written
    staging = _staging(
        _target(path, config, share), sum(expected), lambda: _layers(reader, model, experts)
    )
    demand = beside.demand([layer.size_bytes for layer in staging.layers], ends=ends)
    way = _way(staging, config)
    chosen = fit(demand, config.device_memory, way.pace(model, head, dtype))
    resident = {layer: way.keep(layer) for layer in chosen.resident}
    window = Window(chosen.streamed, way.carrier(chosen)) if chosen.slots else None
    return StreamedWeights(embedding, head, resident, window, staging, chosen)


def _check(config: EngineConfig) -> None:
    if config.host_memory and config.device == "cpu":
        raise InputError(
            "host_memory is for ranks on cards: what a processor streams comes from the disk.",
            remedy="Give device_memory alone.",
        )
    if not config.staging:
        raise InputError("A memory budget needs a folder for what does not fit.")


def _way(staging: Staging, config: EngineConfig) -> Way:
    if config.device == "cpu":
        return ToProcessor(staging)
    return ToCard(staging, torch.device(config.device), config.host_memory)


class _Beside:
    """What is held beside the weights."""

    def __init__(self, checkpoint: Checkpoint, config: EngineConfig, experts: Interval) -> None:
        model, dtype = checkpoint.config, activation_dtype(config.precision)
        on_card = config.device != "cpu"
        self._runtime = CARD_RESERVE_BYTES if on_card else private_bytes() + RESERVE_BYTES
        rows = config.max_batch_tokens
        self._activations = activation_bytes(
            model.shape,
            _whole(model, experts),
            rows=rows,
            logit_rows=rows if checkpoint.has_end else 0,
            item_bytes=dtype.itemsize,
        )
        self._ways = tuple(ways_of(model, dtype, config))
        self._limit = config.device_memory

    def demand(self, layers: Sequence[int], *, ends: int) -> Demand:
        """Raises ``PlanImpossible``."""
        demand = Demand(
            layers=tuple(layers),
            ends=ends,
            kv=0,
            activations=self._activations,
            runtime=self._runtime,
        )
        return with_keys(demand, self._ways, self._limit)


def _expected_layers(model: ModelConfig, config: EngineConfig, experts: Interval) -> list[int]:
    """Bytes of each layer by the planner's arithmetic, before anything is read."""
    kinds: dict[str, WeightKind] = {"fp32": "fp32", "bf16": "bf16", "packed": "packed"}
    kind = "packed+copy" if config.packed_copy else kinds[config.precision]
    return [layer_bytes(model.shape, _whole(model, experts), kind)] * model.layers


def _whole(model: ModelConfig, experts: Interval) -> Share:
    """All of a model, or of what a share of one is by itself, with some of its experts."""
    return Share(
        layers=Interval(0, model.layers),
        heads=Interval(0, model.heads),
        kv_heads=tuple(range(model.kv_heads)),
        ffn=Interval(0, model.ffn),
        vocab=Interval(0, model.vocab),
        experts=experts,
    )


def _layers(reader: WeightReader, model: ModelConfig, experts: Interval) -> Iterator[LayerWeights]:
    for layer in range(model.layers):
        yield reader.layer(layer, experts)
    reader.check_all_used()


def _staging(
    target: Path, expected_bytes: int, layers: Callable[[], Iterator[LayerWeights]]
) -> Staging:
    """The staging file, written if it is not there or damaged."""
    try:
        return Staging(target)
    except StagingInvalid:
        target.unlink(missing_ok=True)
    check_space(target, expected_bytes)
    write_staging(target, layers())
    return Staging(target)


def _target(path: Path, config: EngineConfig, share: Share | None) -> Path:
    """A file by what is in it: the checkpoint's contents, the share, and all that decides in which
    bytes its numbers are computed with."""
    folder = Path(config.staging)
    source = path.stem if path.suffix == SUFFIX else identify(path, "", folder).digest
    content = [
        *(FORMAT, source, None if share is None else to_json(share)),
        *(config.precision, config.packed_copy, torch.device(config.device).type),
        *(torch.__version__, torch.backends.cpu.get_cpu_capability()),
        *(kinds(), kernel(KERNEL) is not None),
    ]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return folder / f"{digest[:32]}{staging_file.SUFFIX}"
