"""Devices: the facts of machines, measured where they measured themselves, else from cards of data:
what is assumed of a device that nobody has measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from banyan.core.errors import InputError
from banyan.core.layout import DeviceFacts, DeviceKind, Facts, HostFacts, LinkFacts
from banyan.plan.hosts import DEFAULT_LINK, HostsFile, HostSpec

GB: Final = 10**9
SHARED_MEMORY: Final = LinkFacts(latency_s=3e-5, bandwidth=4e9)
"""Ranks of one host over its memory, as measured on two cores."""
CARD_CORES: Final = 2
"""Cores that the card ``cpu`` is measured on."""
CARD_LINK: Final = LinkFacts(latency_s=3e-5, bandwidth=10e9)
"""Cards of one host over PCIe 3 x16, less what copies cost."""
UNKNOWN_CARD: Final = "rtx3060"
"""What a graphics card is taken for that only said it is one: a small one."""
MATRIX_SHARE: Final = 0.6
"""Part of a data sheet's matrix rate that large products attain."""
READ_SHARE: Final = 0.8
"""Part of a data sheet's memory bandwidth that a decoding step attains."""


def _card(
    name: str,
    kind: DeviceKind,
    *,
    memory_gb: float,
    tflops: float,
    read_gb_s: float,
    copy_gb_s: float,
    layer_overhead_s: float,
) -> DeviceFacts:
    """Attained rates: TFLOP/s of products, GB/s of reading, GB/s from the host's memory (or, for a
    processor, from its disk)."""
    return DeviceFacts(
        kind=kind,
        name=name,
        memory_bytes=int(memory_gb * GB),
        flops=tflops * 1e12,
        weight_bandwidth=read_gb_s * 1e9,
        copy_bandwidth=copy_gb_s * 1e9,
        layer_overhead_s=layer_overhead_s,
    )


def _nvidia(
    name: str, *, memory_gb: float, tflops: float, read_gb_s: float, pcie: int
) -> DeviceFacts:
    """From a data sheet: dense fp16 with fp32 sums, memory bandwidth, generation of PCIe x16 (of
    which pinned copies attain 11, 22 or 44 GB/s)."""
    return _card(
        name,
        "cuda",
        memory_gb=memory_gb,
        tflops=MATRIX_SHARE * tflops,
        read_gb_s=READ_SHARE * read_gb_s,
        copy_gb_s=11 * 2 ** (pcie - 3),
        layer_overhead_s=1e-4,
    )


CARDS: Final[Mapping[str, DeviceFacts]] = {
    card.name: card
    for card in (
        # NVIDIA Turing architecture whitepaper, table of the Founders Edition.
        _nvidia("rtx2080ti", memory_gb=11, tflops=56.9, read_gb_s=616, pcie=3),
        # NVIDIA Ampere GA102 whitepaper: GeForce sums in fp32 at half the tensor rate.
        _nvidia("rtx3060", memory_gb=12, tflops=25.5, read_gb_s=360, pcie=4),
        _nvidia("rtx3090", memory_gb=24, tflops=71, read_gb_s=936, pcie=4),
        # NVIDIA Ada whitepaper.
        _nvidia("rtx4090", memory_gb=24, tflops=165, read_gb_s=1008, pcie=4),
        # NVIDIA's data sheets of the L4, and of the A100 with 80 GB over SXM.
        _nvidia("l4", memory_gb=24, tflops=121, read_gb_s=300, pcie=4),
        _nvidia("a100", memory_gb=80, tflops=312, read_gb_s=2039, pcie=4),
        # Measured: bf16 products, memory (3.0 TB/s, less what a step of small kernels loses),
        # pinned copies; a step launches its kernels one by one.
        _card(
            "h100",
            "cuda",
            memory_gb=80,
            tflops=778,
            read_gb_s=2400,
            copy_gb_s=54.7,
            layer_overhead_s=3e-4,
        ),
        _card(
            "h200",
            "cuda",
            memory_gb=141,
            tflops=790,
            read_gb_s=3200,
            copy_gb_s=55,
            layer_overhead_s=3e-4,
        ),
        # Measured on two cores of a server with AVX-512 BF16; its disk read directly.
        _card(
            "cpu",
            "cpu",
            memory_gb=16,
            tflops=0.4,
            read_gb_s=20,
            copy_gb_s=1.5,
            layer_overhead_s=2e-4,
        ),
        # Raspberry Pi 5: LPDDR4X-4267 over 32 bit (17 GB/s), four Cortex-A76 at 2.4 GHz with two
        # 128-bit units each (154 GFLOP/s in fp32); about half of either is attained.
        _card(
            "pi5",
            "cpu",
            memory_gb=8,
            tflops=0.06,
            read_gb_s=9,
            copy_gb_s=0.4,
            layer_overhead_s=5e-4,
        ),
    )
}


def facts_of(file: HostsFile) -> Facts:
    """What a hosts file says, with a card's numbers where it says nothing. Ranks of a host have a
    graphics card each; of a processor they share cores and memory.

    Raises ``InputError`` for a device that has no card.
    """
    return linked([_host(spec) for spec in file.all], file.link)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a host says of itself when it joins; its ranks share its device. ``measured`` are that
    device's own numbers, where it has measured them."""

    name: str
    device: str
    ranks: int
    cores: int
    memory_bytes: int
    measured: DeviceFacts | None = None


def claimed(claims: Sequence[Claim]) -> Facts:
    """Facts of hosts that have joined, on the usual link: of one that has not measured itself, a
    processor of so many cores as the card ``cpu``, a graphics card as ``UNKNOWN_CARD``."""
    return linked([_claimed(claim) for claim in claims], DEFAULT_LINK)


def with_links(facts: Facts, found: Mapping[tuple[int, int], LinkFacts]) -> Facts:
    """The same machines with the links that were measured; [i, i] is what joins host i's ranks."""
    hosts = tuple(
        replace(host, local=found.get((i, i), host.local)) for i, host in enumerate(facts.hosts)
    )
    links = tuple(
        tuple(found.get((i, j), link) for j, link in enumerate(row))
        for i, row in enumerate(facts.links)
    )
    return Facts(hosts=hosts, links=links)


def assumptions(facts: Facts, kind: str) -> tuple[str, ...]:
    """What of these facts was not measured, in words; nothing where everything was."""
    wanted = {"packed", "bf16"} if kind == "packed+copy" else {kind}
    devices = [
        host.name
        for host in facts.hosts
        if any(wanted - {rates.kind for rates in each.measured} for each in host.devices)
    ]
    memories = [
        host.name for host in facts.hosts if len(host.devices) > 1 and not host.local.is_measured
    ]
    pairs = [
        f"{one.name} - {other.name}"
        for i, one in enumerate(facts.hosts)
        for j, other in enumerate(facts.hosts)
        if i < j and not (facts.links[i][j].is_measured and facts.links[j][i].is_measured)
    ]
    told = (
        (f"the rates in {kind} of", devices),
        ("sums within", memories),
        ("the link", pairs),
    )
    return tuple(f"{what} {', '.join(names)}" for what, names in told if names)


def linked(hosts: Sequence[HostFacts], link: LinkFacts) -> Facts:
    """Hosts of which every pair is joined by the same link."""
    links = tuple(
        tuple(host.local if i == j else link for j, host in enumerate(hosts))
        for i in range(len(hosts))
    )
    return Facts(hosts=tuple(hosts), links=links)


def _claimed(claim: Claim) -> HostFacts:
    if claim.device.startswith("cuda"):
        return _alike(
            claim.name, _shared(claim.measured or CARDS[UNKNOWN_CARD], claim.ranks), claim.ranks
        )
    whole = claim.measured or _faster(CARDS["cpu"], claim.cores / CARD_CORES)
    device = _shared(replace(whole, memory_bytes=claim.memory_bytes), claim.ranks)
    # Ranks that share a core wait for one another in what each of them does beside its products.
    waiting = max(1.0, claim.ranks / claim.cores)
    device = replace(device, layer_overhead_s=waiting * device.layer_overhead_s)
    return _alike(claim.name, device, claim.ranks)


def _host(spec: HostSpec) -> HostFacts:
    name = "cuda" if spec.device.startswith("cuda") else spec.device
    if name not in CARDS:
        raise InputError(
            f"Nothing is known of the device {name!r} of {spec.name}.",
            remedy=f"For planning, name its card: {', '.join(CARDS)}.",
        )
    card = CARDS[name]
    device = card if card.kind == "cuda" else _shared(card, spec.ranks)
    if spec.memory_bytes:
        device = replace(device, memory_bytes=spec.memory_bytes)
    return _alike(spec.name, device, spec.ranks)


def _alike(name: str, device: DeviceFacts, ranks: int) -> HostFacts:
    local = CARD_LINK if device.kind == "cuda" else SHARED_MEMORY
    return HostFacts(name=name, devices=(device,) * ranks, local=local)


def _shared(whole: DeviceFacts, ranks: int) -> DeviceFacts:
    """One of ``ranks`` equal parts of a device."""
    part = _faster(whole, 1 / ranks)
    return replace(
        part,
        memory_bytes=whole.memory_bytes // ranks,
        copy_bandwidth=whole.copy_bandwidth / ranks,
    )


def _faster(device: DeviceFacts, factor: float) -> DeviceFacts:
    """The same device at ``factor`` times its rates."""
    return replace(
        device,
        flops=device.flops * factor,
        weight_bandwidth=device.weight_bandwidth * factor,
        measured=tuple(
            replace(
                rates,
                weight_bandwidth=rates.weight_bandwidth * factor,
                flops=rates.flops * factor,
            )
            for rates in device.measured
        ),
    )
