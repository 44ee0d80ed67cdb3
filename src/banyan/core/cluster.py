"""What a cluster tells about itself, to the command line and the console. Plain records."""

from __future__ import annotations

from dataclasses import dataclass

from banyan.core.layout import Facts, Share


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStats:
    """One way between two hosts, from the first to the second, or within one: seconds for an empty
    message, bytes per second."""

    hosts: tuple[int, ...]
    latency_s: float
    bandwidth: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgorithmStats:
    """What one way to sum takes as measured, and as the cost model has it (0: it says nothing)."""

    algorithm: str
    measured_s: float
    predicted_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceStats(AlgorithmStats):
    """What sums messages of ``size_bytes``, and what was measured of the ``others``, best first."""

    size_bytes: int
    others: tuple[AlgorithmStats, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutOption:
    """A layout that was weighed: the layers of each stage, the seconds that the first token and
    each further one should take, and why it is not the best (empty: it is)."""

    name: str
    layers: tuple[int, ...]
    ttft_s: float
    itl_s: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RankStatus:
    """``state``: starting, connecting, loading, measuring, ready, failed or ended, or empty while
    nothing is known; ``rss_bytes`` is what its process ``pid`` holds, ``share`` its part of the
    model. Each replica counts its ranks from 0."""

    rank: int
    state: str
    device: str
    rss_bytes: int
    share: Share
    pid: int = 0
    replica: int = 0


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
class ReplicaStatus:
    """One copy of the model: ``state`` is forming, ready, or down with its ``cause``; ``hosts`` are
    numbers of ``ClusterStatus.hosts``. The rest is what its engine tells while it runs;
    ``outstanding_tokens`` are those yet to be computed, as near as can be told from outside."""

    state: str
    cause: str
    layout: str
    hosts: tuple[int, ...]
    outstanding_tokens: int = 0
    running: int = 0
    waiting: int = 0
    prefill_tokens_per_s: float = 0.0
    decode_tokens_per_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """``state``: forming, ready as soon as one replica is, or down; ``cause`` says why any of them
    is down. ``expected_hosts`` must be here before the first group forms; those that are not join
    at ``address``, under the names ``missing`` where such were given.

    Rates, tokens and requests are sums over the ``replicas`` that run, links and choices what their
    engines have measured; hosts are numbered in the order of ``hosts``. ``facts`` are what the
    layouts were chosen by, for weights in ``precision``; ``options`` are what could be run, best
    first, and ``assumed`` says in words what of the facts was not measured. ``tls``: what crosses
    hosts is encrypted.
    """

    state: str
    cause: str
    address: str
    expected_hosts: int
    missing: tuple[str, ...]
    hosts: tuple[HostStatus, ...]
    layout: str
    algorithm: str
    payload: str
    tls: bool = False
    replicas: tuple[ReplicaStatus, ...] = ()
    model: str = ""
    prefill_tokens_per_s: float = 0.0
    decode_tokens_per_s: float = 0.0
    prefilled_tokens: int = 0
    decoded_tokens: int = 0
    running: int = 0
    waiting: int = 0
    links: tuple[LinkStats, ...] = ()
    choices: tuple[ChoiceStats, ...] = ()
    facts: Facts | None = None
    precision: str = ""
    options: tuple[LayoutOption, ...] = ()
    assumed: tuple[str, ...] = ()
