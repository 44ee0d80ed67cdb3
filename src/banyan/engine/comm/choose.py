"""Which collective a group uses: one that is named, or the one that measures and picks."""

from __future__ import annotations

from typing import Final

from banyan.core.errors import InputError
from banyan.engine.comm.auto import Auto
from banyan.engine.comm.collective import Collective
from banyan.engine.comm.collectives import COLLECTIVES
from banyan.engine.comm.compress import CODECS, CompressedExchange
from banyan.engine.comm.group import Group
from banyan.engine.comm.measure import led_by_fastest

ALGORITHMS: Final = ("auto", *COLLECTIVES)
PAYLOADS: Final = ("exact", *CODECS)


def make_collective(group: Group, algorithm: str, payload: str) -> Collective:
    """Every rank of the group must ask for the same, at the same time; each host is then led by its
    fastest rank. A lossy ``payload`` is one
    more candidate for ``auto``, and otherwise what ``exchange`` sends.

    Raises ``InputError`` for unknown names.
    """
    if payload != "exact" and payload not in CODECS:
        raise InputError(
            f"{payload!r} is not a payload.",
            remedy=f"Choose exact or one of {', '.join(CODECS)}.",
        )
    if algorithm not in ALGORITHMS:
        raise InputError(
            f"{algorithm!r} is not a collective.",
            remedy=f"Choose one of {', '.join(ALGORITHMS)}.",
        )
    if payload != "exact" and algorithm not in ("exchange", "auto"):
        raise InputError(
            f"The payload {payload} goes with exchange and auto, not with {algorithm}.",
            remedy="Leave out --payload or --algorithm.",
        )
    group = led_by_fastest(group)
    if algorithm == "auto":
        candidates = [make(group) for make in COLLECTIVES.values()]
        if payload != "exact":
            candidates.append(CompressedExchange(group, payload))
        return Auto(group, candidates)
    return (
        COLLECTIVES[algorithm](group) if payload == "exact" else CompressedExchange(group, payload)
    )
