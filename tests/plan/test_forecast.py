"""One function for the cost model's word on a layout."""

from __future__ import annotations

import pytest
from tests.plan.beds import B1, bed

from banyan.core.layout import Workload
from banyan.plan.collectives import ALGORITHMS
from banyan.plan.cost import Machines, decode, prefill
from banyan.plan.forecast import forecast
from banyan.plan.shares import tensor_parallel

FACTS = bed(2, 2, "cpu")
LAYOUT = tensor_parallel(B1, [1.0] * 4)
WORK = Workload(prompt=256, generate=64, concurrency=2)


def test_it_prices_all_prompts_and_a_token_for_each_request() -> None:
    found = forecast(B1, "packed", LAYOUT, FACTS, WORK)
    machines = Machines.all_of(FACTS)
    assert found.prefill == prefill(B1, "packed", LAYOUT, machines, prompt=256, batch=2)
    assert found.decode == decode(B1, "packed", LAYOUT, machines, context=320, batch=2)
    assert (found.prefill_s, found.decode_s) == (found.prefill.seconds, found.decode.seconds)


def test_auto_sums_by_the_cheapest_and_a_named_algorithm_by_its_own_cost() -> None:
    auto = forecast(B1, "packed", LAYOUT, FACTS, WORK)
    named = {
        name: forecast(B1, "packed", LAYOUT, FACTS, WORK, algorithm=name) for name in ALGORITHMS
    }
    assert auto.prefill.sums_s == min(each.prefill.sums_s for each in named.values())
    assert named["star"].prefill.sums_s > 2 * auto.prefill.sums_s
    assert named["star"].prefill.compute_s == auto.prefill.compute_s


def test_smaller_steps_read_the_weights_more_often() -> None:
    whole, steps = (forecast(B1, "bf16", LAYOUT, FACTS, WORK, step_rows=rows) for rows in (0, 16))
    assert steps.prefill_s > whole.prefill_s
    assert steps.decode_s == pytest.approx(whole.decode_s)
