"""Devices as cards of data: what is assumed of a device that nobody has measured here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from banyan.core.errors import InputError
from banyan.core.layout import DeviceFacts, Facts, HostFacts, LinkFacts
from banyan.plan.hosts import DEFAULT_LINK, HostsFile, HostSpec

GB: Final = 10**9
SHARED_MEMORY: Final = LinkFacts(latency_s=3e-5, bandwidth=4e9)
"""Ranks of one host over its memory, as measured on two cores."""
CARD_CORES: Final = 2
"""Cores that the card ``cpu`` is measured on."""
CARD_LINK: Final = LinkFacts(latency_s=3e-5, bandwidth=10e9)
"""Cards of one host over PCIe 3 x16, less what copies cost."""

# Attained rates: about 60 % of the data sheet's matrix rate, 80 % of its memory bandwidth.
CARDS: Final[Mapping[str, DeviceFacts]] = {
    # NVIDIA's data sheets: memory, fp16 tensor rate with fp32 sums, bandwidth.
    "rtx2080ti": DeviceFacts(
        kind="cuda",
        name="rtx2080ti",
        memory_bytes=11 * GB,
        flops=0.6 * 56.9e12,
        weight_bandwidth=0.8 * 616e9,
        copy_bandwidth=11e9,
        layer_overhead_s=1e-4,
    ),
    "rtx3060": DeviceFacts(
        kind="cuda",
        name="rtx3060",
        memory_bytes=12 * GB,
        flops=0.6 * 51e12,
        weight_bandwidth=0.8 * 360e9,
        copy_bandwidth=20e9,
        layer_overhead_s=1e-4,
    ),
    "rtx4090": DeviceFacts(
        kind="cuda",
        name="rtx4090",
        memory_bytes=24 * GB,
        flops=0.6 * 165e12,
        weight_bandwidth=0.8 * 1008e9,
        copy_bandwidth=22e9,
        layer_overhead_s=1e-4,
    ),
    # Measured: 778 TFLOP/s in bf16, 3.0 TB/s device to device, 54.7 GB/s pinned.
    "h100": DeviceFacts(
        kind="cuda",
        name="h100",
        memory_bytes=80 * GB,
        flops=778e12,
        weight_bandwidth=2.4e12,
        copy_bandwidth=54.7e9,
        layer_overhead_s=3e-4,
    ),
    # Measured on two cores of a server with AVX-512 BF16.
    "cpu": DeviceFacts(
        kind="cpu",
        name="cpu",
        memory_bytes=16 * GB,
        flops=4e11,
        weight_bandwidth=20e9,
        copy_bandwidth=1.5e9,
        layer_overhead_s=2e-4,
    ),
    # Raspberry Pi 5: LPDDR4X-4267 of 17 GB/s, four Cortex-A76 at 2.4 GHz in fp32.
    "pi5": DeviceFacts(
        kind="cpu",
        name="pi5",
        memory_bytes=8 * GB,
        flops=6e10,
        weight_bandwidth=9e9,
        copy_bandwidth=0.4e9,
        layer_overhead_s=5e-4,
    ),
}


def facts_of(file: HostsFile) -> Facts:
    """What a hosts file says, with a card's numbers where it says nothing.

    Raises ``InputError`` for a device that has no card.
    """
    hosts = tuple(_host(spec) for spec in file.all)
    links = tuple(
        tuple(host.local if i == j else file.link for j, host in enumerate(hosts))
        for i in range(len(hosts))
    )
    return Facts(hosts=hosts, links=links)


def assumed(hosts: Sequence[tuple[str, int, int, int]]) -> Facts:
    """Facts of hosts that only said their name, ranks, cores and memory: processors on the usual
    link, each rank with its part."""
    card = CARDS["cpu"]
    found = []
    for name, ranks, cores, memory_bytes in hosts:
        part = cores / ranks / CARD_CORES
        device = replace(
            card,
            memory_bytes=memory_bytes // ranks,
            flops=card.flops * part,
            weight_bandwidth=card.weight_bandwidth * part,
        )
        found.append(HostFacts(name=name, devices=(device,) * ranks, local=SHARED_MEMORY))
    count = range(len(found))
    links = tuple(tuple(SHARED_MEMORY if i == j else DEFAULT_LINK for j in count) for i in count)
    return Facts(hosts=tuple(found), links=links)


def _host(spec: HostSpec) -> HostFacts:
    name = "cuda" if spec.device.startswith("cuda") else spec.device
    if name not in CARDS:
        raise InputError(
            f"Nothing is known of the device {name!r} of {spec.name}.",
            remedy=f"For planning, name its card: {', '.join(CARDS)}.",
        )
    card = CARDS[name]
    device = replace(card, memory_bytes=spec.memory_bytes or card.memory_bytes)
    local = CARD_LINK if card.kind == "cuda" else SHARED_MEMORY
    return HostFacts(name=spec.name, devices=(device,) * spec.ranks, local=local)
