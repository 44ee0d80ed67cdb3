"""What is assumed where nothing was measured."""

from __future__ import annotations

import pytest

from banyan.core.errors import InputError
from banyan.core.layout import DeviceFacts, LinkFacts, Rates
from banyan.plan.devices import (
    CARD_CORES,
    CARD_LINK,
    CARDS,
    SHARED_MEMORY,
    UNKNOWN_CARD,
    Claim,
    assumptions,
    claimed,
    facts_of,
    with_links,
)
from banyan.plan.hosts import DEFAULT_LINK, HostsFile, HostSpec


def test_every_card_is_plausible() -> None:
    for name, card in CARDS.items():
        assert card.name == name
        assert 10**9 < card.memory_bytes < 10**12
        assert 1e9 < card.weight_bandwidth < 1e13
        assert card.flops > card.weight_bandwidth  # products of a prompt pay on all of them
        assert card.copy_bandwidth < card.weight_bandwidth


def test_cards_of_a_host_are_whole_and_ranks_of_a_processor_share_it() -> None:
    link = LinkFacts(latency_s=1e-3, bandwidth=1e8)
    head = HostSpec(name="head", ranks=4, device="rtx4090")
    other = HostSpec(name="attic", ranks=2, device="cpu")
    facts = facts_of(HostsFile(head=head, hosts=(other,), link=link))
    assert facts.hosts[0].devices == (CARDS["rtx4090"],) * 4
    part = facts.hosts[1].devices[0]
    assert part.weight_bandwidth * 2 == CARDS["cpu"].weight_bandwidth
    assert part.memory_bytes * 2 == CARDS["cpu"].memory_bytes
    assert facts.links[0][1] == link
    assert (facts.links[0][0], facts.links[1][1]) == (CARD_LINK, SHARED_MEMORY)


def test_memory_that_the_file_names_is_what_each_rank_has() -> None:
    head = HostSpec(name="head", ranks=2, device="cpu", memory_bytes=3 * 10**9)
    facts = facts_of(HostsFile(head=head, hosts=()))
    assert [device.memory_bytes for device in facts.hosts[0].devices] == [3 * 10**9] * 2


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "abacus"])
def test_a_device_without_a_card_is_refused_with_those_there_are(device: str) -> None:
    head = HostSpec(name="head", device=device)
    with pytest.raises(InputError, match="head") as refused:
        facts_of(HostsFile(head=head, hosts=()))
    assert "rtx2080ti" in refused.value.remedy


MEASURED = DeviceFacts(
    kind="cpu",
    memory_bytes=10**9,
    weight_bandwidth=1e10,
    flops=1e12,
    copy_bandwidth=1e9,
    layer_overhead_s=1e-4,
    measured=(
        Rates(kind="bf16", weight_bandwidth=1e10, flops=1e12),
        Rates(kind="packed", weight_bandwidth=5e9, flops=2e11),
    ),
)


def claim(name: str, ranks: int = 1, measured: DeviceFacts | None = None) -> Claim:
    return Claim(
        name=name,
        device="cpu",
        ranks=ranks,
        cores=4 * CARD_CORES,
        memory_bytes=8 * 10**9,
        measured=measured,
    )


def test_hosts_that_joined_are_taken_for_what_they_say() -> None:
    card = Claim(name="b", device="cuda:0", ranks=1, cores=8, memory_bytes=1)
    facts = claimed([claim("a", ranks=2), card])
    one = facts.hosts[0].devices[0]
    assert one.weight_bandwidth == pytest.approx(2 * CARDS["cpu"].weight_bandwidth)
    assert one.memory_bytes == 4 * 10**9
    assert facts.hosts[1].devices[0] == CARDS[UNKNOWN_CARD]
    assert facts.links[0][1] == DEFAULT_LINK


def test_what_a_host_has_measured_goes_before_its_card_and_is_shared_by_its_ranks() -> None:
    part = claimed([claim("a", ranks=2, measured=MEASURED)]).hosts[0].devices[0]
    assert part.rates("packed") == Rates(kind="packed", weight_bandwidth=2.5e9, flops=1e11)
    assert part.rates("fp32").weight_bandwidth == 5e9  # not measured: as in bf16
    assert part.memory_bytes == 4 * 10**9  # the host's word, not the measurement's
    assert part.layer_overhead_s == MEASURED.layer_overhead_s


def test_ranks_that_share_a_core_wait_for_each_other_between_products() -> None:
    part = claimed([claim("a", ranks=32, measured=MEASURED)]).hosts[0].devices[0]
    assert part.layer_overhead_s == pytest.approx(32 / 8 * MEASURED.layer_overhead_s)


def test_what_was_not_measured_is_named() -> None:
    facts = claimed([claim("a", measured=MEASURED), claim("b", ranks=2)])
    assert assumptions(facts, "packed") == (
        "the rates in packed of b",
        "sums within b",
        "the link a - b",
    )
    assert assumptions(facts, "packed+copy")[0] == "the rates in packed+copy of b"
    assert assumptions(facts, "fp32")[0] == "the rates in fp32 of a, b"
    link = LinkFacts(latency_s=1e-5, bandwidth=1e9, is_measured=True)
    found = {(0, 1): link, (1, 0): link, (1, 1): link}
    measured = with_links(claimed([claim("a", measured=MEASURED)] * 2), found)
    assert assumptions(measured, "bf16") == ()
    assert measured.links[0][1] == measured.hosts[1].local == link
