"""Status: what a cluster tells about itself, to the command line and the console."""

from __future__ import annotations

from dataclasses import dataclass

from banyan.engine.stats import ChoiceStats, LinkStats


@dataclass(frozen=True, slots=True, kw_only=True)
class RankStatus:
    """``state`` as in ``frames.RankState``; ``rss_bytes`` is what its process ``pid`` holds."""

    rank: int
    state: str
    device: str
    rss_bytes: int
    pid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """``silence_s``: seconds since it was last heard of."""

    name: str
    address: str
    cores: int
    memory_bytes: int
    memory_used_bytes: int
    silence_s: float
    ranks: tuple[RankStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """``state``: forming, ready, or down with its ``cause``. Rates, links and choices are those of
    the engine while it runs; hosts are numbered in the order of ``hosts``."""

    state: str
    cause: str
    expected_hosts: int
    hosts: tuple[HostStatus, ...]
    layout: str
    algorithm: str
    payload: str
    prefill_tokens_per_s: float = 0.0
    decode_tokens_per_s: float = 0.0
    links: tuple[LinkStats, ...] = ()
    choices: tuple[ChoiceStats, ...] = ()
