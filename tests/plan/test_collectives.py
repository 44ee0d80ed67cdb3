"""The cost model of the collectives: golden numbers, and what must hold for all sizes and links."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banyan.core.layout import LinkFacts
from banyan.plan.collectives import ALGORITHMS, Ranks, all_reduce_s, bound_s, cheapest

GIGABIT = LinkFacts(latency_s=1e-4, bandwidth=125e6)
MEMORY = LinkFacts(latency_s=1e-5, bandwidth=10e9)
MIB = 1 << 20


def ranks(hosts: int, per_host: int, remote: LinkFacts = GIGABIT) -> Ranks:
    return Ranks(hosts=hosts, per_host=per_host, remote=remote, local=MEMORY)


def links() -> st.SearchStrategy[LinkFacts]:
    return st.builds(
        LinkFacts,
        latency_s=st.floats(1e-6, 1e-2),
        bandwidth=st.floats(1e6, 1e10),
    )


@pytest.mark.parametrize(
    ("algorithm", "milliseconds"),
    [
        # One host's 4 MiB take 33.554 ms over 1 Gbit/s, and 0.1 ms more to get there.
        ("exchange", 33.654),
        ("tree", 33.754),  # the way down overlaps the way up, one latency later
        ("scatter", 33.754),  # half of it twice
        ("star", 67.309),  # up, then down
        ("ring", 33.754),
    ],
)
def test_four_mebibytes_between_two_hosts_at_one_gigabit(
    algorithm: str, milliseconds: float
) -> None:
    assert all_reduce_s(algorithm, 4 * MIB, ranks(2, 1)) * 1e3 == pytest.approx(
        milliseconds, abs=1e-3
    )


def test_a_star_carries_every_rank_of_another_host_over_the_slow_link() -> None:
    one = all_reduce_s("star", 4 * MIB, ranks(2, 1))
    four = all_reduce_s("star", 4 * MIB, ranks(2, 4))
    assert four > 3.9 * one
    assert all_reduce_s("tree", 4 * MIB, ranks(2, 4)) < 1.2 * all_reduce_s(
        "tree", 4 * MIB, ranks(2, 1)
    )


def test_a_short_message_goes_by_exchange_and_a_long_one_among_four_hosts_does_not() -> None:
    assert cheapest(8 << 10, ranks(2, 2))[0] == "exchange"
    assert cheapest(16 * MIB, ranks(4, 1))[0] in ("scatter", "ring")


def test_nothing_is_sent_where_there_is_one_rank() -> None:
    for algorithm in ALGORITHMS:
        assert all_reduce_s(algorithm, MIB, ranks(1, 1)) == 0
    assert bound_s(MIB, ranks(1, 1)) == 0


@settings(deadline=None)
@given(
    size=st.integers(0, 1 << 28),
    hosts=st.integers(2, 8),
    per_host=st.integers(1, 8),
    remote=links(),
)
def test_no_algorithm_beats_the_bound(
    size: int, hosts: int, per_host: int, remote: LinkFacts
) -> None:
    cluster = ranks(hosts, per_host, remote)
    bound = bound_s(size, cluster)
    for algorithm in ALGORITHMS:
        assert all_reduce_s(algorithm, size, cluster) >= bound * (1 - 1e-9)


@settings(deadline=None)
@given(
    size=st.integers(0, 1 << 28),
    more=st.integers(0, 1 << 20),
    hosts=st.integers(1, 6),
    per_host=st.integers(1, 4),
    remote=links(),
)
def test_a_longer_message_never_takes_less(
    size: int, more: int, hosts: int, per_host: int, remote: LinkFacts
) -> None:
    cluster = ranks(hosts, per_host, remote)
    for algorithm in ALGORITHMS:
        shorter = all_reduce_s(algorithm, size, cluster)
        assert all_reduce_s(algorithm, size + more, cluster) >= shorter


@settings(deadline=None)
@given(size=st.integers(1, 1 << 28), hosts=st.integers(1, 6), per_host=st.integers(1, 4))
def test_the_cheapest_is_as_cheap_as_any(size: int, hosts: int, per_host: int) -> None:
    cluster = ranks(hosts, per_host)
    name, seconds = cheapest(size, cluster)
    assert seconds == all_reduce_s(name, size, cluster)
    assert seconds == min(all_reduce_s(each, size, cluster) for each in ALGORITHMS)
