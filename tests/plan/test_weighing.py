"""The layouts that a group could run, priced and ordered as the planner chooses."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.beds import ARTICLE, B1, B13, bed, mixed

from banyan.core.layout import Objective, Workload
from banyan.plan.planner import choose_layouts
from banyan.plan.weighing import MAX_OPTIONS, weighed

LATENCY = Workload(concurrency=1, objective="itl")


@given(
    hosts=st.lists(st.sampled_from([(1, "cpu"), (2, "cpu"), (4, "cpu")]), min_size=1, max_size=4),
    objective=st.sampled_from(["itl", "ttft"]),
)
@settings(max_examples=20, deadline=None)
def test_the_first_is_the_one_the_engine_runs(
    hosts: list[tuple[int, str]], objective: Objective
) -> None:
    facts, workload = mixed(*hosts), replace(LATENCY, objective=objective)
    options = weighed(B1, "bf16", facts, workload)
    (chosen,) = choose_layouts(B1, "bf16", facts, workload, replicas=1)
    assert options[0].name == chosen.name
    assert options[0].reason == ""
    assert all(option.reason for option in options[1:])
    seconds = [option.itl_s if objective == "itl" else option.ttft_s for option in options]
    assert seconds == sorted(seconds)
    assert all(sum(option.layers) == B1.layers for option in options)


def test_what_is_slower_says_by_how_much_and_where_the_time_goes() -> None:
    options = weighed(ARTICLE, "fp16", bed(), LATENCY)
    by_name = {option.name: option for option in options}
    assert "slower" in by_name["tp8"].reason
    assert "sums between ranks" in by_name["tp8"].reason


def test_what_does_not_fit_comes_last_with_its_arithmetic() -> None:
    options = weighed(B13, "fp16", mixed((1, "rtx2080ti"), (1, "rtx2080ti")), LATENCY)
    assert all("needs" in option.reason for option in options)


def test_of_many_hosts_only_the_best_are_told() -> None:
    assert len(weighed(ARTICLE, "fp16", bed(), LATENCY)) <= MAX_OPTIONS
