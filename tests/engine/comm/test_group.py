"""A group's ranks sum alike whether they spin or sleep while they wait."""

from __future__ import annotations

import numpy as np
import pytest
from tests.engine.comm.groups import at_once, make_groups

from banyan.engine.comm.collective import Buffer
from banyan.engine.comm.exchange import Exchange
from banyan.engine.comm.group import Group


@pytest.mark.parametrize("hosts", [(1, 1), (2, 2), (3,)])
@pytest.mark.parametrize("spin_s", [0.0, 0.005])
def test_ranks_sum_alike_whether_they_spin_or_sleep(hosts, spin_s):
    def work(group: Group) -> list[float]:
        group.spin(spin_s)
        sums = []
        for number in range(20):
            mine = np.full(100, group.rank + number, dtype=np.float32)
            Exchange(group).all_reduce(Buffer(memoryview(mine).cast("B"), "float32"))
            sums.append(float(mine[0]))
        return sums

    ranks = sum(hosts)
    expected = [sum(range(ranks)) + ranks * number for number in range(20)]
    assert at_once(make_groups(hosts), work) == [expected] * ranks
