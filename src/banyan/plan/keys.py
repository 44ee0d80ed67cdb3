"""Keys: the ways in which a rank can hold its keys and values, in the order they are tried.

They stay as they are computed, or as the operator chose; then in int8, which moves logits a little;
then they stream, which costs a decoding step the reading of all that its sequences had before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from banyan.core.layout import ModelShape
from banyan.plan.budget import KV_SLOTS, KvKind, KvWay, gathered_bytes
from banyan.plan.matrices import SCALE_BYTES

ITEM_BYTES: Final[dict[KvKind, int]] = {"fp32": 4, "bf16": 2, "int8": 1}


def kv_ways(
    shape: ModelShape,
    *,
    computed: KvKind,
    chosen: KvKind | None,
    pages: int,
    page_tokens: int,
    tokens: int,
    record: Callable[[int], int],
    buffers: int,
) -> Iterator[KvWay]:
    """``shape`` is the rank's own. ``computed``: in what attention computes; ``chosen``: in what
    keys and values are to be kept (None: int8 may be taken for it). ``tokens``: the longest
    sequence. ``record``: what a page of a
    layer takes elsewhere, ``buffers``: what moving it takes on the device."""
    dense = pages * page_tokens * head_bytes(shape, computed) * shape.layers
    item = ITEM_BYTES[computed]
    gathered = gathered_bytes(shape, kv=dense, tokens=tokens, item_bytes=item)

    def way(kept: KvKind, *, streams: bool) -> KvWay:
        page = page_tokens * head_bytes(shape, kept)
        # Keys or values as they are kept, beside both as they are computed with.
        extra = 0 if kept == computed else gathered * ITEM_BYTES[kept] // (2 * item)
        return KvWay(
            kept=kept,
            near=pages * page * KV_SLOTS + buffers if streams else pages * page * shape.layers,
            gathered=gathered + extra,
            far=pages * record(page) * shape.layers if streams else 0,
        )

    kinds: tuple[KvKind, ...] = (computed, "int8") if chosen is None else (chosen,)
    for kept in kinds:
        yield way(kept, streams=False)
    if shape.layers > KV_SLOTS:
        yield way(kinds[-1], streams=True)


def head_bytes(shape: ModelShape, kept: KvKind) -> int:
    """Keys and values of one token in one layer, scales included."""
    scale = SCALE_BYTES if kept == "int8" else 0
    return 2 * shape.kv_heads * (shape.head_dim * ITEM_BYTES[kept] + scale)
