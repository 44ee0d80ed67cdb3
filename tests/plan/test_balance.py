"""Who gets how much."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.plan.beds import B1, B13, bed, mixed

from banyan.core.errors import PlanImpossible
from banyan.core.layout import Facts, Layout, Workload
from banyan.plan.balance import Load, balanced, fits, limit, water_fill
from banyan.plan.cost import Machines

GROUPS = [((0, 0),), ((1, 0),), ((2, 0),)]
LOAD = Load(shape=B13, kind="fp16", workload=Workload(), sequences=1)


def layers(layout: Layout) -> list[int]:
    return [stage.shares[0].layers.size for stage in layout.stages]


def with_memory(facts: Facts, *gigabytes: int) -> Facts:
    """The same hosts with so much memory for each device of host 0, 1 ..."""
    hosts = tuple(
        replace(
            host,
            devices=tuple(replace(each, memory_bytes=count * 10**9) for each in host.devices),
        )
        for host, count in zip(facts.hosts, gigabytes, strict=True)
    )
    return replace(facts, hosts=hosts)


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)), min_size=1, max_size=8))
def test_water_goes_by_speed_and_never_over_a_cap(pairs: list[tuple[float, float]]) -> None:
    speeds, caps = [speed for speed, _ in pairs], [cap for _, cap in pairs]
    total = 0.8 * sum(caps)
    parts = water_fill(total, speeds, caps)
    assert sum(parts) == pytest.approx(total)
    assert all(part <= cap * (1 + 1e-9) for part, cap in zip(parts, caps, strict=True))
    rates = [
        part / speed
        for part, speed, cap in zip(parts, speeds, caps, strict=True)
        if part < cap * (1 - 1e-9)
    ]
    assert all(rate == pytest.approx(rates[0]) for rate in rates)


def test_water_that_has_no_room_goes_by_the_caps() -> None:
    assert water_fill(10, [1, 9], [2, 3]) == pytest.approx([4, 6])


def test_stages_get_layers_by_their_speed() -> None:
    facts = with_memory(mixed((1, "rtx4090"), (1, "rtx2080ti"), (1, "rtx2080ti")), 99, 99, 99)
    counts = layers(balanced(LOAD, Machines.all_of(facts), GROUPS))
    assert sum(counts) == B13.layers
    assert counts[0] > counts[1] >= counts[2] > 0


def test_a_stage_gets_no_more_layers_than_its_memory_holds() -> None:
    machines = Machines.all_of(with_memory(bed(3, 1), 5, 20, 20))
    layout = balanced(LOAD, machines, GROUPS)
    assert fits(LOAD, machines, layout)
    assert layers(layout)[0] <= 7
    assert sum(layers(layout)) == B13.layers


def test_the_fastest_stage_is_filled_first_where_stages_take_turns() -> None:
    facts = with_memory(mixed((1, "cpu"), (1, "rtx4090"), (1, "rtx2080ti")), 99, 13, 99)
    machines = Machines.all_of(facts)
    first = balanced(LOAD, machines, GROUPS, fastest_first=True)
    assert fits(LOAD, machines, first)
    slow, fast, middle = layers(first)
    assert slow == 1
    assert fast == layers(balanced(LOAD, machines, GROUPS))[1]  # all that its memory holds
    assert middle == B13.layers - slow - fast


def test_ranks_of_a_stage_are_cut_to_their_memory() -> None:
    host = bed(1, 4).hosts[0]
    small = replace(host.devices[0], memory_bytes=5 * 10**9)
    host = replace(host, devices=(small, *host.devices[1:]))
    machines = Machines.all_of(replace(bed(1, 4), hosts=(host,)))
    layout = balanced(LOAD, machines, [tuple((0, place) for place in range(4))])
    assert fits(LOAD, machines, layout)
    heads = [share.heads.size for share in layout.stages[0].shares]
    assert heads[0] < min(heads[1:])


def test_what_fits_nowhere_is_dealt_all_the_same() -> None:
    machines = Machines.all_of(bed(3, 1))
    big = replace(LOAD, shape=replace(B13, layers=200))
    layout = balanced(big, machines, GROUPS)
    assert sum(layers(layout)) == 200
    assert not fits(big, machines, layout)


def test_more_stages_than_layers_are_refused() -> None:
    tiny = replace(LOAD, shape=replace(B1, layers=2))
    with pytest.raises(PlanImpossible, match="2 layers"):
        balanced(tiny, Machines.all_of(bed(3, 1)), GROUPS)


def test_some_memory_is_left_to_drivers() -> None:
    assert limit(Machines.all_of(bed(1, 1)), 0) == int(0.95 * 11e9)
