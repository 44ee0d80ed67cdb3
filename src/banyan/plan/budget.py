"""Budget: which layers of a rank stay in memory and how many slots the others pass through, so that
a given number of bytes is never exceeded and a step takes the least time.

The choice rests on what was measured: how fast layers are copied and how long one is computed. A
step is simulated for each number of slots; nothing is fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from banyan.core.errors import PlanImpossible
from banyan.core.layout import ModelShape

KvKind = Literal["fp32", "bf16", "int8"]

LEAST_SLOTS: Final = 2
"""One layer in use, one on its way."""
MOST_SLOTS: Final = 8
KV_SLOTS: Final = 2
"""Layers whose keys and values are on the device when they are streamed."""
MIB: Final = 1 << 20
PASSES: Final = 3
"""Simulated steps; by the last the pattern repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KvWay:
    """A way to hold keys and values, which are kept as ``kept``. Bytes: ``near`` on the device,
    ``gathered`` by attention at a time, ``far`` where layers come from in turn (0: all stay).
    ``on_host``: decoding attends to them there, on the processor; ``reason``: why it does or not.
    """

    kept: KvKind
    near: int
    gathered: int
    far: int = 0
    on_host: bool = False
    reason: str = ""

    @property
    def words(self) -> str:
        kept = f"keys and values in {self.kept}"
        if not self.far:
            return kept
        reason = f", {self.reason}" if self.reason else ""
        return f"{kept}, {KV_SLOTS} layers of {_mib(self.far)} at a time{reason},"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Bytes that a rank must hold. ``layers``: of each layer's weights; ``ends``: embedding and
    head; ``runtime``: the process before it has loaded anything. ``way`` is how keys and values are
    held, where that was a choice, and ``why`` what spoke against the ways before it."""

    layers: tuple[int, ...]
    ends: int
    kv: int
    activations: int
    runtime: int = 0
    way: KvWay | None = None
    why: tuple[str, ...] = ()

    @property
    def fixed(self) -> int:
        """All that does not depend on what streams."""
        return self.ends + self.kv + self.activations + self.runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """``copy_bandwidth``: bytes per second into a slot. ``layer_s``: computing a layer; ``rest_s``:
    what a step takes beside its layers."""

    copy_bandwidth: float
    layer_s: float
    rest_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """``resident`` layers stay; the others pass through ``slots`` of ``slot_bytes`` each (0 slots:
    all stay). ``step_s`` is what a step of one token is expected to take."""

    limit: int
    demand: Demand
    resident: tuple[int, ...]
    slots: int
    slot_bytes: int
    step_s: float

    @property
    def streamed(self) -> tuple[int, ...]:
        stay = set(self.resident)
        return tuple(layer for layer in range(len(self.demand.layers)) if layer not in stay)

    @property
    def streamed_bytes(self) -> int:
        """What passes through in each step."""
        return sum(self.demand.layers[layer] for layer in self.streamed)

    @property
    def resident_bytes(self) -> int:
        return sum(self.demand.layers[layer] for layer in self.resident)

    @property
    def peak(self) -> int:
        """The most that is held at a time."""
        return self.demand.fixed + self.resident_bytes + self.slots * self.slot_bytes

    @property
    def words(self) -> str:
        """The choice and its sum, on one line."""
        layers = len(self.demand.layers)
        parts = [
            f"{len(self.resident)} of {layers} layers stay ({_mib(self.resident_bytes)})",
            *_fixed_parts(self.demand),
        ]
        if self.slots:
            passing = _mib(self.slots * self.slot_bytes)
            parts.insert(1, f"{len(self.streamed)} pass through {self.slots} slots ({passing})")
        total = f"{'; '.join(parts)}: {_mib(self.peak)} of {_mib(self.limit)}"
        return "; ".join((total, *self.demand.why))


def gathered_bytes(shape: ModelShape, *, kv: int, tokens: int, item_bytes: int) -> int:
    """What attention gathers from the pages of one layer, out of ``kv`` bytes of all layers: of
    sequences that decode together, padded to at most twice their length; or of one of ``tokens``
    that is prefilled, its keys and values once as they lie and once for each query head."""
    layer = kv // shape.layers
    token = 2 * shape.head_dim * item_bytes
    context = min(tokens, layer // (token * shape.kv_heads))
    return max(2 * layer, context * token * (shape.kv_heads + shape.heads))


def fit(demand: Demand, limit: int, pace: Pace) -> Fit:
    """The fastest way to stay within ``limit`` bytes.

    Raises ``PlanImpossible`` with the arithmetic where there is none.
    """
    layers = range(len(demand.layers))
    largest = max(demand.layers)
    room = limit - demand.fixed
    if sum(demand.layers) <= room:
        step_s = len(layers) * pace.layer_s + pace.rest_s
        return Fit(
            limit=limit,
            demand=demand,
            resident=tuple(layers),
            slots=0,
            slot_bytes=0,
            step_s=step_s,
        )
    check_possible(demand, limit)
    found: list[Fit] = []
    for slots in range(LEAST_SLOTS, MOST_SLOTS + 1):
        if slots * largest > room:
            break
        resident = _most_that_stay(demand.layers, room - slots * largest)
        copies = [
            0.0 if layer in resident else demand.layers[layer] / pace.copy_bandwidth
            for layer in layers
        ]
        found.append(
            Fit(
                limit=limit,
                demand=demand,
                resident=resident,
                slots=slots,
                slot_bytes=largest,
                step_s=step_seconds(copies, slots, pace),
            )
        )
    return min(found, key=lambda each: each.step_s)


def with_keys(demand: Demand, ways: Sequence[KvWay], limit: int) -> Demand:
    """``demand`` with the first of ``ways`` that leaves room for ``LEAST_SLOTS`` layers of weights:
    weights stream before anything is done to keys and values.

    Raises ``PlanImpossible`` with the arithmetic of the least of them where there is none.
    """
    why: tuple[str, ...] = ()
    asked: list[Demand] = []
    for way in ways:
        activations = demand.activations + way.gathered
        asked.append(replace(demand, kv=way.near, activations=activations, way=way, why=why))
        missing = asked[-1].fixed + LEAST_SLOTS * max(demand.layers) - limit
        if missing <= 0:
            return asked[-1]
        why = (*why, f"with {way.words} {_mib(missing)} would be missing")
    raise _refusal(min(asked, key=lambda each: each.fixed), limit)


def check_possible(demand: Demand, limit: int) -> None:
    """Raises ``PlanImpossible`` where not even ``LEAST_SLOTS`` layers fit beside the rest."""
    if demand.fixed + LEAST_SLOTS * max(demand.layers) > limit:
        raise _refusal(demand, limit)


def _refusal(demand: Demand, limit: int) -> PlanImpossible:
    least = LEAST_SLOTS * max(demand.layers)
    parts = [*_fixed_parts(demand), f"{LEAST_SLOTS} layers at a time {_mib(least)}"]
    return PlanImpossible(
        f"The model does not run in {_mib(limit)}, not even streamed: {', '.join(parts)}"
        f" are {_mib(demand.fixed + least)}.",
        remedy="Raise the memory budget, or lower kv_cache_bytes, max_batch_tokens or"
        " max_sequences.",
    )


def step_seconds(copies: Sequence[float], slots: int, pace: Pace) -> float:
    """One step in the steady state. ``copies[i]``: seconds to bring layer i, 0 where it stays.

    One thread brings layers in turn, each into the slot that was left longest ago.
    """
    left: list[float] = []
    now = reading = began = 0.0
    for _ in range(PASSES):
        began = now
        for copy_s in copies:
            if copy_s:
                free = left[-slots] if len(left) >= slots else 0.0
                reading = max(reading, free) + copy_s
                now = max(now, reading)
            now += pace.layer_s
            if copy_s:
                left.append(now)
        now += pace.rest_s
    return now - began


def _most_that_stay(layers: Sequence[int], room: int) -> tuple[int, ...]:
    """As many as fit, spread evenly between those that stream."""
    for count in range(len(layers) - 1, -1, -1):
        stay = _spread(len(layers), count)
        if sum(layers[layer] for layer in stay) <= room:
            return stay
    return ()


def _spread(layers: int, count: int) -> tuple[int, ...]:
    """``count`` of ``layers`` numbers, evenly; the first is not among them, as its turn comes while
    a step ends and there is time to bring it."""
    streams = {place * layers // (layers - count) for place in range(layers - count)}
    return tuple(layer for layer in range(layers) if layer not in streams)


def _fixed_parts(demand: Demand) -> list[str]:
    return [
        f"embedding and head {_mib(demand.ends)}",
        f"{'keys and values' if demand.way is None else demand.way.words} {_mib(demand.kv)}",
        f"activations {_mib(demand.activations)}",
        f"the process itself {_mib(demand.runtime)}",
    ]


def _mib(size_bytes: int) -> str:
    """Rounded up, so that what is shown adds up to no more than it is."""
    return f"{-(-size_bytes // MIB)} MiB"
