"""Shares: how the heads, columns, experts and vocabulary of a model are dealt to ranks.

Ranks may be unequal: each gets in proportion to its weight, in whole units, at least one unit.
Columns and vocabulary are cut in multiples of ``GRAIN``, so that no group of quantised numbers is
ever split. Query heads are cut wherever the slowest rank then has least to do: at the ends of the
groups that share a key-value head, or through groups, where each side needs that head.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, isfinite
from typing import Final

from banyan.core.errors import PlanImpossible
from banyan.core.layout import Interval, Layout, ModelShape, Share, Stage

GRAIN: Final = 32
"""Numbers that share a scale in every quantised form the engine computes with."""


def divide(
    total: int,
    weights: Sequence[float],
    *,
    unit: int = 1,
    what: str = "units",
    among: str = "ranks in a stage",
) -> tuple[Interval, ...]:
    """0 .. total cut in ``len(weights)`` consecutive intervals, as near to the weights as whole
    units allow (largest remainders), none of them empty. The last may end on a broken unit.

    Raises ``PlanImpossible`` when there are fewer units than weights: ``what`` is dealt, and
    ``among`` whom, is for the message.
    """
    if not weights or not all(isfinite(weight) and weight > 0 for weight in weights):
        raise PlanImpossible(f"Nothing can be dealt to ranks of the speeds {list(weights)}.")
    units = -(-total // unit)
    if units < len(weights):
        parts = f"{total} {what}" if unit == 1 else f"{total} {what} in parts of {unit}"
        raise PlanImpossible(
            f"{parts} make {units}, too few for {len(weights)} {among}.",
            remedy=f"Have at most {units} {among}.",
        )
    exact = [weight / sum(weights) * units for weight in weights]
    counts = [max(1, int(share)) for share in exact]
    while sum(counts) != units:
        step = 1 if sum(counts) < units else -1
        movable = [i for i, count in enumerate(counts) if step > 0 or count > 1]
        neediest = max(movable, key=lambda i: step * (exact[i] - counts[i]))
        counts[neediest] += step
    ends = [min(total, unit * sum(counts[: i + 1])) for i in range(len(counts))]
    return tuple(Interval(begin, end) for begin, end in zip([0, *ends], ends, strict=False))


def divide_heads(heads: int, group: int, weights: Sequence[float]) -> tuple[Interval, ...]:
    """Query heads, of which each ``group`` share one key-value head, cut where the slowest rank has
    the fewest rows of q, k, v and o for its weight.

    A cut through a group spares no rows of k and v, so cuts at its end, half or quarter often beat
    nearer ones: 9 heads in groups of 3 are 6 + 3, not 5 + 4.
    """
    units = [unit for unit in range(group, 0, -1) if group % unit == 0]
    cuts = [divide(heads, weights, unit=unit) for unit in units if heads // unit >= len(weights)]
    if not cuts:
        return divide(heads, weights, what="attention heads")

    def slowest(cut: Sequence[Interval]) -> float:
        return max(
            (own.size + len(kv_heads_of(own, group))) / weight
            for own, weight in zip(cut, weights, strict=True)
        )

    return min(cuts, key=slowest)


def kv_heads_of(heads: Interval, group: int) -> tuple[int, ...]:
    """The key-value heads that query ``heads`` need, where ``group`` query heads share one.

    A cut through a group leaves fewer query heads to it than to its neighbours; then each
    key-value head stands there often enough that all serve equally many.
    """
    needed = range(heads.begin // group, -(-heads.end // group))
    counts = [min(heads.end, (kv + 1) * group) - max(heads.begin, kv * group) for kv in needed]
    served = gcd(*counts)
    return tuple(
        kv for kv, count in zip(needed, counts, strict=True) for _ in range(count // served)
    )


def shares(
    shape: ModelShape, weights: Sequence[float], layers: Interval | None = None
) -> tuple[Share, ...]:
    """The shares of the ranks of one stage, whose speeds are as ``weights``.

    Raises ``PlanImpossible`` when the model has too few heads, columns or experts.
    """
    group = shape.heads // shape.kv_heads
    heads = divide_heads(shape.heads, group, weights)
    vocab = divide(shape.vocab, weights, unit=GRAIN, what="tokens of the vocabulary")
    whole = Interval(0, shape.ffn)
    ffn: Sequence[Interval] = [whole] * len(weights)
    experts = [Interval(0, 0)] * len(weights)
    if shape.experts:
        experts = list(divide(shape.experts, weights, what="experts"))
    else:
        ffn = divide(shape.ffn, weights, unit=GRAIN, what="feed-forward columns")
    return tuple(
        Share(
            layers=layers or Interval(0, shape.layers),
            heads=heads[i],
            kv_heads=kv_heads_of(heads[i], group),
            ffn=ffn[i],
            vocab=vocab[i],
            experts=experts[i],
        )
        for i in range(len(weights))
    )


def tensor_parallel(shape: ModelShape, weights: Sequence[float]) -> Layout:
    """All ranks split every layer."""
    stage = Stage(ranks=tuple(range(len(weights))), shares=shares(shape, weights))
    return Layout(stages=(stage,))


def pipeline(shape: ModelShape, stages: Sequence[Sequence[float]]) -> Layout:
    """Consecutive layers for each stage in proportion to its weights' sum; within a stage its
    ranks split every layer. Ranks are numbered through the stages."""
    speeds = [sum(weights) for weights in stages]
    layers = divide(shape.layers, speeds, what="layers", among="stages")
    found, first = [], 0
    for weights, interval in zip(stages, layers, strict=True):
        ranks = tuple(range(first, first + len(weights)))
        found.append(Stage(ranks=ranks, shares=shares(shape, weights, interval)))
        first += len(weights)
    return Layout(stages=tuple(found))


def whole(shape: ModelShape) -> Share:
    """The share of a single rank: everything."""
    return shares(shape, [1.0])[0]
