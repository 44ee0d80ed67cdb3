"""Machines and models whose best layout is known, for the planner's tests."""

from __future__ import annotations

from banyan.core.layout import Facts, LinkFacts, ModelShape
from banyan.plan.devices import facts_of
from banyan.plan.hosts import HostsFile, HostSpec

GIGABIT = LinkFacts(latency_s=1e-4, bandwidth=1e9 / 8)
ARTICLE = ModelShape(
    layers=26, hidden=3200, ffn=8640, heads=32, kv_heads=32, head_dim=100, vocab=32_000
)
GPT3 = ModelShape(
    layers=96, hidden=12_288, ffn=49_152, heads=96, kv_heads=96, head_dim=128, vocab=50_257
)
B13 = ModelShape(
    layers=40, hidden=5120, ffn=13_824, heads=40, kv_heads=40, head_dim=128, vocab=32_000
)
B1 = ModelShape(layers=22, hidden=2048, ffn=5632, heads=32, kv_heads=4, head_dim=64, vocab=32_000)
EXPERTS = ModelShape(
    layers=4,
    hidden=64,
    ffn=32,
    heads=4,
    kv_heads=4,
    head_dim=16,
    vocab=320,
    experts=8,
    experts_per_token=2,
)


def bed(
    hosts: int = 2, ranks: int = 4, device: str = "rtx2080ti", link: LinkFacts = GIGABIT
) -> Facts:
    """Hosts that are alike; without arguments the article's."""
    return mixed(*[(ranks, device)] * hosts, link=link)


def mixed(*hosts: tuple[int, str], link: LinkFacts = GIGABIT) -> Facts:
    """Hosts of so many ranks and of that card each."""
    specs = [HostSpec(name=f"h{i}", ranks=n, device=card) for i, (n, card) in enumerate(hosts)]
    return facts_of(HostsFile(head=specs[0], hosts=tuple(specs[1:]), link=link))
