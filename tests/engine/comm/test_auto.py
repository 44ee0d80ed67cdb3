"""Auto: all ranks pick alike, by what was measured, within a bounded time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from tests.engine.comm.groups import at_once, make_groups

from banyan.engine.comm import auto
from banyan.engine.comm.auto import SIZES, Auto
from banyan.engine.comm.collective import Buffer
from banyan.engine.comm.collectives import COLLECTIVES
from banyan.engine.comm.compress import CompressedExchange
from banyan.engine.comm.exchange import Exchange
from banyan.engine.comm.group import Group


@pytest.fixture(autouse=True)
def short_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "BUDGET_S", 0.4)
    monkeypatch.setattr(auto, "LIMIT_S", 0.8)


class Timed:
    """A collective that takes as long as it is told to, and counts what it is asked."""

    def __init__(self, name: str, seconds: Callable[[int], float]) -> None:
        self.name = name
        self.calls: Counter[int] = Counter()
        self._seconds = seconds

    def all_reduce(self, buffer: Buffer) -> None:
        self.calls[len(buffer.data)] += 1
        time.sleep(self._seconds(len(buffer.data)))


def prompt(size: int) -> float:
    """Best for short messages."""
    return 1e-3 + size * 4e-8


def steady(size: int) -> float:
    """Best for long ones."""
    return 8e-3 + size * 4e-9


def calibrated(
    hosts: Sequence[int], make: Callable[[Group], list[Timed]]
) -> list[tuple[Auto, list[Timed]]]:
    def work(group: Group) -> tuple[Auto, list[Timed]]:
        candidates = make(group)
        return Auto(group, candidates), candidates

    return at_once(make_groups(hosts), work)


def test_the_faster_one_is_picked_at_each_size_measured_or_not() -> None:
    made = calibrated((1, 1), lambda group: [Timed("prompt", prompt), Timed("steady", steady)])
    for chooser, _ in made:
        assert chooser.pick(0) == chooser.pick(5_000) == chooser.pick(40_000) == "prompt"
        assert chooser.pick(600_000) == chooser.pick(4 << 20) == chooser.pick(64 << 20) == "steady"


def test_a_message_goes_by_what_was_picked_for_its_size() -> None:
    made = calibrated((1,), lambda group: [Timed("prompt", prompt), Timed("steady", steady)])
    chooser, (short, long) = made[0]
    short.calls.clear()
    long.calls.clear()
    for size in (3_000, 3_000, 2_000_000):
        chooser.all_reduce(Buffer(memoryview(bytearray(size)), "float32"))
    assert short.calls == {3_000: 2}
    assert long.calls == {2_000_000: 1}


def test_ranks_that_measured_different_things_pick_alike() -> None:
    # Rank 1 finds "prompt" slow; a collective takes as long as its slowest rank.
    def make(group: Group) -> list[Timed]:
        slow = 0.03 if group.rank == 1 else 0.0
        return [Timed("prompt", lambda size: slow), Timed("steady", lambda size: 0.01)]

    made = calibrated((1, 1, 1), make)
    sizes = [2**power for power in range(8, 26)]
    picks = [[chooser.pick(size) for size in sizes] for chooser, _ in made]
    assert picks == [["steady"] * len(sizes)] * 3


def test_a_hopeless_algorithm_is_not_tried_again_unless_it_may_catch_up() -> None:
    # Among four hosts a star sends four times what a ring does, whatever the size.
    made = calibrated(
        (1, 1, 1, 1),
        lambda group: [
            Timed("exchange", lambda size: 1e-3),
            Timed("star", lambda size: 1e-2),
            Timed("ring", lambda size: 1e-2),
        ],
    )
    for _, (exchange, star, ring) in made:
        assert set(star.calls) == set(SIZES[:2])
        assert set(exchange.calls) == set(ring.calls) > set(SIZES[:2])


def test_what_was_dropped_is_not_picked_for_larger_messages_by_what_the_model_hopes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A model in which nothing grows with the size, and a star costs ten times an exchange.
    costs = {"exchange": 0.1, "star": 1.0}
    monkeypatch.setattr(auto, "all_reduce_s", lambda name, size, ranks: costs[name])
    monkeypatch.setattr(auto, "cheapest", lambda size, ranks: ("exchange", 0.1))

    def make(group: Group) -> list[Timed]:
        exchange = Timed("exchange", lambda size: 1e-4 + size * 2e-8)
        return [exchange, Timed("star", lambda size: 0.01)]

    for chooser, (_, star) in calibrated((1, 1), make):
        assert set(star.calls) == set(SIZES[:2])
        assert chooser.pick(16 << 20) == "exchange"


def test_calibration_ends_on_a_link_too_slow_for_it() -> None:
    # 1 MiB takes a tenth of a second: 4 MiB would take half a second, each time.
    started = time.monotonic()
    made = calibrated((1,), lambda group: [Timed("tree", lambda size: size * 1.2e-7)])
    assert time.monotonic() - started < 2
    chooser, (tree,) = made[0]
    assert (4 << 20) not in tree.calls
    assert chooser.pick(16 << 20) == "tree"


def test_beyond_what_was_measured_time_grows_as_the_model_says() -> None:
    # All that is measured is the latency; only the model knows that a star sends four times more.
    def make(group: Group) -> list[Timed]:
        return [Timed("star", lambda size: 0.1), Timed("ring", lambda size: 0.12)]

    for chooser, (star, _) in calibrated((1, 1, 1, 1), make):
        assert max(star.calls) < 64 << 10
        assert chooser.pick(4 << 10) == "star"
        assert chooser.pick(64 << 20) == "ring"


def test_the_choices_are_shown_with_what_the_model_said() -> None:
    def work(group: Group) -> Auto:
        return Auto(group, [make(group) for make in COLLECTIVES.values()])

    for chooser in at_once(make_groups((2, 2)), work):
        choices = chooser.choices()
        assert [choice.size_bytes for choice in choices] == sorted({c.size_bytes for c in choices})
        for choice in choices:
            assert choice.algorithm == chooser.pick(choice.size_bytes)
            assert choice.measured_s > 0
            assert choice.predicted_s > 0
            slower = [other.measured_s for other in choice.others]
            assert slower == sorted(slower)
            assert min(slower) >= choice.measured_s
        others = {other.algorithm for other in choices[0].others}
        assert others == set(COLLECTIVES) - {choices[0].algorithm}


def test_a_payload_is_predicted_by_the_bytes_it_has_on_the_wire() -> None:
    def work(group: Group) -> Auto:
        return Auto(group, [Exchange(group), CompressedExchange(group, "int8")])

    for chooser in at_once(make_groups((1, 1)), work):
        exact = chooser.predicted_s("exchange", 64 << 20)
        assert chooser.predicted_s("exchange+int8", 64 << 20) < 0.3 * exact


@pytest.mark.parametrize("hosts", [(1,), (2, 1)], ids=str)
def test_sums_are_those_of_the_algorithm_that_was_picked(hosts: tuple[int, ...]) -> None:
    def work(group: Group) -> list[float]:
        chooser = Auto(group, [make(group) for make in COLLECTIVES.values()])
        found = []
        for count in (0, 1, 77, 300_000):
            x = np.full(count, group.rank + 1, np.float32)
            chooser.all_reduce(Buffer(memoryview(x).cast("B"), "float32"))
            found.append(float(x.sum()))
        return found

    ranks = sum(hosts)
    total = ranks * (ranks + 1) / 2
    expected = [0.0, total, 77 * total, 300_000 * total]
    assert at_once(make_groups(hosts), work) == [expected] * ranks
