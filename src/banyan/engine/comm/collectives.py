"""The collectives there are, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from banyan.engine.comm.collective import Collective
from banyan.engine.comm.exchange import Exchange
from banyan.engine.comm.group import Group
from banyan.engine.comm.ring import Ring
from banyan.engine.comm.scatter import Scatter
from banyan.engine.comm.star import Star
from banyan.engine.comm.tree import Tree

COLLECTIVES: Final[Mapping[str, Callable[[Group], Collective]]] = {
    "star": Star,
    "tree": Tree,
    "exchange": Exchange,
    "scatter": Scatter,
    "ring": Ring,
}
