"""Clusters as their status shows them: whole, of one machine, forming, down, in stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from banyan.core.cluster import (
    AlgorithmStats,
    ChoiceStats,
    ClusterStatus,
    HostStatus,
    LayoutOption,
    LinkStats,
    RankStatus,
)
from banyan.core.layout import DeviceFacts, Facts, HostFacts, Layout, LinkFacts, ModelShape
from banyan.plan.shares import pipeline, tensor_parallel

SHAPE = ModelShape(
    layers=30, hidden=576, ffn=1536, heads=9, kv_heads=3, head_dim=64, vocab=49152, tied=True
)
SMALL = {"exchange": 1.0, "scatter": 1.32, "tree": 1.9, "ring": 2.6, "star": 3.7}
LARGE = {"scatter": 1.0, "exchange": 1.21, "tree": 2.2}
"""How long each way to sum takes, by the quickest one."""


@dataclass
class StubCluster:
    """What the server asks of a cluster."""

    now: ClusterStatus

    def status(self) -> ClusterStatus:
        return self.now


def of(*ranks: int, staged: bool = False, ready: bool = True) -> ClusterStatus:
    """A group of as many machines as there are numbers, each with so many ranks."""
    speeds = [[1.0] * count for count in ranks]
    layout = (
        pipeline(SHAPE, speeds)
        if staged
        else tensor_parallel(SHAPE, [speed for host in speeds for speed in host])
    )
    state = "ready" if ready else "loading"
    return ClusterStatus(
        state="ready" if ready else "forming",
        cause="",
        address="10.0.0.1:7946",
        expected_hosts=len(ranks),
        missing=(),
        hosts=tuple(_host(at, ranks, layout, state) for at in range(len(ranks))),
        layout=layout.name,
        algorithm="auto",
        payload="exact",
        model="smollm2-135m-instruct",
        prefill_tokens_per_s=311.4 if ready else 0.0,
        decode_tokens_per_s=24.1 if ready else 0.0,
        prefilled_tokens=900,
        decoded_tokens=120,
        running=1,
        links=_links(len(ranks)) if ready else (),
        choices=_choices() if ready else (),
        options=_options(layout, staged=staged),
    )


def waiting(*names: str, machines: int = 2) -> ClusterStatus:
    """The head alone; the others have yet to join, by those names where any are given."""
    alone = of(1, ready=False)
    (head,) = alone.hosts
    return replace(
        alone,
        expected_hosts=machines,
        missing=names,
        hosts=(replace(head, ranks=()),),
        layout="",
        running=0,
    )


def down(cause: str) -> ClusterStatus:
    """One of two machines is gone."""
    return replace(waiting(), state="down", cause=cause)


def facts(*names: str, is_measured: bool = True) -> Facts:
    """What machines of these names, with one rank each, have measured of themselves and links."""
    device = DeviceFacts(
        kind="cpu", memory_bytes=8 << 30, weight_bandwidth=11e9, flops=8e10, copy_bandwidth=1e9
    )
    local = LinkFacts(latency_s=4e-6, bandwidth=9e9, is_measured=is_measured)
    remote = LinkFacts(latency_s=1.5e-4, bandwidth=110e6, is_measured=is_measured)
    return Facts(
        hosts=tuple(HostFacts(name=name, devices=(device,), local=local) for name in names),
        links=tuple(tuple(local if i == j else remote for j in names) for i in names),
    )


def _host(number: int, ranks: Sequence[int], layout: Layout, state: str) -> HostStatus:
    first = sum(ranks[:number])
    return HostStatus(
        name="head" if number == 0 else f"attic-{number}",
        address=f"10.0.0.{number + 1}",
        cores=4,
        memory_bytes=16_600_000_000,
        memory_used_bytes=6_100_000_000,
        silence_s=0.4 * number,
        ranks=tuple(
            RankStatus(
                rank=rank,
                state=state,
                device="cpu",
                rss_bytes=498_000_000 + 7_000_000 * rank,
                share=layout.share(rank),
                pid=4000 + rank,
            )
            for rank in range(first, first + ranks[number])
        ),
    )


def _links(hosts: int) -> tuple[LinkStats, ...]:
    return tuple(
        LinkStats(hosts=(i, j), latency_s=4e-6, bandwidth=9e9)
        if i == j
        else LinkStats(hosts=(i, j), latency_s=1.1e-4 + 1e-5 * j, bandwidth=117e6 - 1e6 * i)
        for i in range(hosts)
        for j in range(hosts)
    )


def _options(layout: Layout, *, staged: bool) -> tuple[LayoutOption, ...]:
    reason = "1.62x slower: 17.2 ms more for sums between ranks."
    layers = tuple(stage.shares[0].layers.size for stage in layout.stages)
    return (
        LayoutOption(name=layout.name, layers=layers, ttft_s=0.41, itl_s=0.0277, reason=""),
        LayoutOption(
            name="tp3" if staged else "pp2",
            layers=(30,) if staged else (15, 15),
            ttft_s=0.44,
            itl_s=0.0449,
            reason=reason,
        ),
    )


def _choices() -> tuple[ChoiceStats, ...]:
    return tuple(_choice(1024 * kib) for kib in (4, 16, 64, 256, 1024, 4096))


def _choice(size_bytes: int) -> ChoiceStats:
    ratios = SMALL if size_bytes <= 64 << 10 else LARGE
    best_s = 1.4e-4 + size_bytes / 117e6
    picked, *others = [
        AlgorithmStats(algorithm=name, measured_s=ratio * best_s, predicted_s=0.9 * ratio * best_s)
        for name, ratio in ratios.items()
    ]
    return ChoiceStats(
        size_bytes=size_bytes,
        algorithm=picked.algorithm,
        measured_s=picked.measured_s,
        predicted_s=picked.predicted_s,
        others=tuple(others),
    )
