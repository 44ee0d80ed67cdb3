"""Which collective a group uses: one that is named, or the one that measures and picks."""

from __future__ import annotations

from banyan.core.errors import InputError
from banyan.engine.comm.collective import Collective
from banyan.engine.comm.collectives import COLLECTIVES
from banyan.engine.comm.group import Group


def make_collective(group: Group, algorithm: str, payload: str) -> Collective:
    """Every rank of the group must ask for the same. Raises ``InputError`` for unknown names."""
    name = "exchange" if algorithm == "auto" else algorithm
    if name not in COLLECTIVES:
        raise InputError(
            f"{algorithm!r} is not a collective.",
            remedy=f"Choose auto or one of {', '.join(COLLECTIVES)}.",
        )
    return COLLECTIVES[name](group)
