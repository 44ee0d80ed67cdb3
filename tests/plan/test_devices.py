"""What is assumed where nothing was measured."""

from __future__ import annotations

import pytest

from banyan.core.errors import InputError
from banyan.core.layout import LinkFacts
from banyan.plan.devices import (
    CARD_CORES,
    CARD_LINK,
    CARDS,
    SHARED_MEMORY,
    UNKNOWN_CARD,
    Claim,
    assumed,
    facts_of,
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


def test_hosts_that_joined_are_taken_for_what_they_say() -> None:
    facts = assumed(
        [Claim("a", "cpu", 2, 4 * CARD_CORES, 8 * 10**9), Claim("b", "cuda:0", 1, 8, 1)]
    )
    one, card = facts.hosts[0].devices[0], facts.hosts[1].devices[0]
    assert one.weight_bandwidth == pytest.approx(2 * CARDS["cpu"].weight_bandwidth)
    assert one.memory_bytes == 4 * 10**9
    assert card == CARDS[UNKNOWN_CARD]
    assert facts.links[0][1] == DEFAULT_LINK
