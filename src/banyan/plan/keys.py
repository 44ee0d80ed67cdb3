"""Keys: the ways in which a rank can hold its keys and values, in the order they are tried.

They stay as they are computed, or as the operator chose; then in int8, which moves logits a little;
then they live elsewhere. From there they stream, which costs a decoding step the copying of all
that its sequences had before; or a card's decoding attends to them where they live, on the
processor, where that is faster than their way to the card.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from banyan.core.layout import ModelShape
from banyan.plan.budget import KV_SLOTS, KvKind, KvWay, gathered_bytes
from banyan.plan.matrices import SCALE_BYTES

GB: Final = 1e9
ITEM_BYTES: Final[dict[KvKind, int]] = {"fp32": 4, "bf16": 2, "int8": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class KvRates:
    """Bytes of keys and values per second: copied from the host to a card, and attended to by the
    host's processor."""

    copied: float
    attended: float

    @property
    def on_host(self) -> bool:
        """Whether decoding is faster there."""
        return self.attended > self.copied

    @property
    def words(self) -> str:
        attended, copied = f"{self.attended / GB:.1f} GB/s", f"{self.copied / GB:.1f} GB/s"
        if self.on_host:
            return f"read on the processor at {attended} (to the card they would come at {copied})"
        return f"copied to the card at {copied} (on the processor they would be read at {attended})"


def kv_ways(
    shape: ModelShape,
    *,
    computed: KvKind,
    chosen: KvKind | None,
    pages: int,
    page_tokens: int,
    tokens: int,
    record: Callable[[int], int],
    scales_stay: bool,
    buffers: int,
    rates: KvRates | None = None,
) -> Iterator[KvWay]:
    """``shape`` is the rank's own. ``computed``: in what attention computes; ``chosen``: in what
    keys and values are to be kept (None: int8 may be taken for it). ``tokens``: the longest
    sequence. ``record``: what a page of a layer takes elsewhere, where ``scales_stay`` its numbers
    alone; ``buffers``: what moving it takes on the device; ``rates`` where that is a card."""
    dense = pages * page_tokens * head_bytes(shape, computed) * shape.layers
    item = ITEM_BYTES[computed]
    gathered = gathered_bytes(shape, kv=dense, tokens=tokens, item_bytes=item)

    def way(kept: KvKind, *, streams: bool) -> KvWay:
        page = page_tokens * head_bytes(shape, kept)
        # Keys or values as they are kept, beside both as they are computed with.
        extra = 0 if kept == computed else gathered * ITEM_BYTES[kept] // (2 * item)
        stays = KvWay(kept=kept, near=pages * page * shape.layers, gathered=gathered + extra)
        if not streams:
            return stays
        scales = page_tokens * scale_bytes(shape, kept) if scales_stay else 0
        return replace(
            stays,
            near=pages * (page * KV_SLOTS + scales * shape.layers) + buffers,
            far=pages * record(page - scales) * shape.layers,
        )

    kinds: tuple[KvKind, ...] = (computed, "int8") if chosen is None else (chosen,)
    for kept in kinds:
        yield way(kept, streams=False)
    if shape.layers > KV_SLOTS:
        streamed = way(kinds[-1], streams=True)
        if rates is not None:
            streamed = replace(streamed, on_host=rates.on_host, reason=rates.words)
        yield streamed


def head_bytes(shape: ModelShape, kept: KvKind) -> int:
    """Keys and values of one token in one layer, scales included."""
    numbers = 2 * shape.kv_heads * shape.head_dim * ITEM_BYTES[kept]
    return numbers + scale_bytes(shape, kept)


def scale_bytes(shape: ModelShape, kept: KvKind) -> int:
    """Their scales alone."""
    return 2 * shape.kv_heads * SCALE_BYTES if kept == "int8" else 0
