"""Precision: what "auto" becomes for one checkpoint on this machine.

A 4-bit file is computed packed: a step of one row reads a quarter of the bytes that bf16 does. Its
bf16 copy, used for larger batches, is kept beside it where memory is plentiful.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import psutil

from banyan.engine.checkpoint import Checkpoint
from banyan.engine.config import EngineConfig, Precision
from banyan.engine.native.library import kernel
from banyan.engine.stored import FOUR_BIT

MEMORY_SHARE: Final = 0.5
"""What weights with their copy, and the KV cache, may take of the memory that is available."""
BF16_BYTES: Final = 2


def resolved(
    config: EngineConfig, checkpoint: Checkpoint, memory_bytes: int | None = None
) -> EngineConfig:
    """``config.resolve`` for the checkpoint, whose ranks together have ``memory_bytes`` available
    (None: what this machine has, or the budget)."""
    if memory_bytes is None:
        memory_bytes = config.device_memory or psutil.virtual_memory().available
    needed = config.kv_cache_bytes + sum(
        tensor.size_bytes + BF16_BYTES * math.prod(tensor.shape)
        for tensor in checkpoint.tensors.values()
    )
    return config.resolve(
        four_bit=is_four_bit(checkpoint), copy_fits=needed <= MEMORY_SHARE * memory_bytes
    )


def agreed(
    config: EngineConfig, checkpoint: Checkpoint, hosts: Sequence[tuple[str, int]]
) -> EngineConfig:
    """What the ranks of ``hosts`` (device and bytes of memory of each) all compute in; how many
    threads each takes stays open. Packed weights are for groups without cards."""
    if any(device != "cpu" for device, _ in hosts):
        chosen = config.resolve()
    else:
        chosen = resolved(config, checkpoint, len(hosts) * min(memory for _, memory in hosts))
    return replace(chosen, threads=config.threads)


def in_words(precision: Precision) -> str:
    """The precision, and of packed weights whose kernel multiplies them."""
    if precision != "packed":
        return precision
    return f"packed ({'own' if kernel('four_bit_multiply') else 'torch'} kernel)"


def is_four_bit(checkpoint: Checkpoint) -> bool:
    """Whether more than half of the numbers in the layers' matrices are in four bits."""
    numbers = {True: 0, False: 0}
    for name, tensor in checkpoint.tensors.items():
        if name.startswith("layers.") and len(tensor.shape) == 2:
            numbers[tensor.format in FOUR_BIT] += math.prod(tensor.shape)
    return numbers[True] > numbers[False]
