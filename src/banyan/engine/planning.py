"""Planning: a checkpoint and what it is computed in, in the planner's words."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace
from typing import Final

from banyan.core.layout import Block, ModelShape, Others
from banyan.engine.checkpoint import Checkpoint
from banyan.engine.config import EngineConfig
from banyan.engine.precision import is_four_bit
from banyan.engine.stored import FOUR_BIT, PLAIN, Stored
from banyan.plan.matrices import WeightKind

_MATRIX: Final = re.compile(r"^layers\.(\d+)\.(?:experts\.\d+\.)?(q|k|v|o|gate|up|down)\.weight$")


def shape_of(checkpoint: Checkpoint) -> ModelShape:
    """The sizes of a checkpoint, and which matrices of a four-bit one have more bits. Of experts of
    one layer the first counts for all."""
    config, table = checkpoint.config, checkpoint.tensors.get("embedding")
    shape = config.shape
    if table is not None:
        block = Block(numbers=table.format.block, size_bytes=table.format.block_bytes)
        shape = replace(shape, table_block=block)
    if not is_four_bit(checkpoint):
        return shape
    others: list[dict[str, str]] = [{} for _ in range(config.layers)]
    for name, tensor in checkpoint.tensors.items():
        match = _MATRIX.match(name)
        if match is not None and (kind := _other(tensor)):
            others[int(match[1])].setdefault(match[2], kind)
    head = checkpoint.tensors.get("embedding" if config.tied else "head")
    found: tuple[Others, ...] = tuple(tuple(sorted(each.items())) for each in others)
    return replace(
        shape,
        others=found if any(found) else (),
        head_kind="" if head is None else _other(head),
    )


def usual_kind(checkpoint: Checkpoint) -> WeightKind:
    """What "auto" makes of a checkpoint on machines that multiply bf16."""
    return "packed" if is_four_bit(checkpoint) else "bf16"


def weight_kind(config: EngineConfig, checkpoint: Checkpoint) -> WeightKind:
    """What weights become under a resolved configuration. A file that is not in four bits is not
    packed, whatever its configuration says: it stays in int8 or in bf16."""
    if config.precision != "packed":
        return "fp32" if config.precision == "fp32" else "bf16"
    if is_four_bit(checkpoint):
        return "packed+copy" if config.packed_copy else "packed"
    numbers = Counter[str]()
    for tensor in checkpoint.tensors.values():
        numbers[_other(tensor)] += math.prod(tensor.shape)
    return "int8" if numbers["int8"] > numbers["bf16"] else "bf16"


def _other(tensor: Stored) -> str:
    """What is not in four bits is computed in; empty where it is."""
    if tensor.format in FOUR_BIT:
        return ""
    return "bf16" if tensor.format in PLAIN else "int8"
