"""Status: what a cluster tells about itself, to the command line and the console."""

from __future__ import annotations

from dataclasses import dataclass


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
class LinkStatus:
    """Measured between two hosts: seconds one way, bytes per second."""

    hosts: tuple[int, ...]
    latency_s: float
    bandwidth: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceStatus:
    """What sums messages up to ``size_bytes``."""

    size_bytes: int
    algorithm: str
    measured_s: float
    predicted_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """``state``: forming, ready, or down with its ``cause``."""

    state: str
    cause: str
    expected_hosts: int
    hosts: tuple[HostStatus, ...]
    layout: str
    algorithm: str
    payload: str
    links: tuple[LinkStatus, ...] = ()
    choices: tuple[ChoiceStatus, ...] = ()
