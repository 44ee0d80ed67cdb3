"""Which devices could make up stages and replicas."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.plan.beds import bed, mixed

from banyan.plan.arrangements import Arrangement, arrangements, is_run, whole_hosts


def sizes(arrangement: Arrangement) -> tuple[int, int, int]:
    """Replicas, stages, devices of the first group."""
    return len(arrangement.replicas), len(arrangement.replicas[0]), len(arrangement.replicas[0][0])


def test_two_hosts_of_four_can_be_replicas_pipelines_and_groups_of_every_size() -> None:
    found = [sizes(each) for each in arrangements(bed(2, 4), requests=64)]
    assert {(8, 1, 1), (1, 8, 1), (4, 1, 2), (2, 1, 4), (1, 2, 4), (1, 1, 8), (2, 2, 2)} < {*found}
    assert (1, 1, 1) in found  # one card alone
    assert len(found) == 17


@given(counts=st.lists(st.integers(1, 4), min_size=1, max_size=5), requests=st.integers(1, 40))
def test_no_device_is_used_twice_and_no_arrangement_comes_twice(
    counts: list[int], requests: int
) -> None:
    facts = mixed(*[(count, "rtx3060") for count in counts])
    found = list(arrangements(facts, requests=requests))
    assert len(set(found)) == len(found)
    for each in found:
        assert len(set(each.devices)) == len(each.devices)
        assert len(each.replicas) <= requests
        assert len({len(stages) for stages in each.replicas}) == 1


def test_the_weakest_hosts_are_left_out_first() -> None:
    facts = mixed((1, "pi5"), (1, "rtx4090"), (1, "cpu"))
    used = {frozenset(host for host, _ in each.devices) for each in arrangements(facts, requests=9)}
    assert used == {frozenset({0, 1, 2}), frozenset({1, 2}), frozenset({1})}


def test_the_fastest_replicas_serve_when_requests_are_few() -> None:
    facts = mixed((2, "pi5"), (1, "rtx4090"))
    alone = [each for each in arrangements(facts, requests=1) if sizes(each) == (1, 1, 1)]
    assert [each.devices for each in alone] == [((1, 0),)]


def test_the_engine_runs_stages_of_whole_hosts_and_replicas_within_a_host() -> None:
    facts = bed(2, 2)
    runs = {sizes(each): is_run(facts, each) for each in arrangements(facts, requests=9)}
    assert runs[1, 2, 2]
    assert runs[4, 1, 1]
    assert runs[2, 1, 2]
    assert not runs[1, 4, 1]
    assert not runs[2, 2, 1]
    assert all(is_run(facts, each) for each in whole_hosts(facts))


def test_whole_hosts_make_stages_in_every_way() -> None:
    found = {tuple(map(len, each.replicas[0])) for each in whole_hosts(bed(3, 2))}
    assert found == {(6,), (2, 4), (4, 2), (2, 2, 2)}


def test_many_hosts_make_no_endless_list() -> None:
    assert len(list(arrangements(bed(64, 4), requests=64))) < 1000
    assert len(list(whole_hosts(bed(64, 1)))) == 2
