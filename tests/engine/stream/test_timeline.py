"""The memory timeline: steps told apart, sums right, and no end of samples."""

from __future__ import annotations

from banyan.engine.stream.direct import aligned
from banyan.engine.stream.timeline import MOST_SAMPLES, Timeline, private_bytes


def test_a_step_begins_with_its_first_layer():
    timeline = Timeline(100, 10)
    for layer in (0, 1, 1, 2, 0, 1, 0):
        timeline.record(layer, 5 * layer)
    assert [(each.step, each.layer) for each in timeline.samples] == [
        *((0, 0), (0, 1), (0, 1), (0, 2)),
        *((1, 0), (1, 1), (2, 0)),
    ]
    assert [each.weights_bytes for each in timeline.samples[:2]] == [100, 105]
    assert {each.kv_bytes for each in timeline.samples} == {10}
    assert timeline.samples[0].at_s <= timeline.samples[-1].at_s


def test_only_the_last_are_kept():
    timeline = Timeline(0, 0)
    for _ in range(MOST_SAMPLES + 10):
        timeline.record(0, 0)
    assert len(timeline.samples) == MOST_SAMPLES


def test_what_the_process_has_taken_grows_with_what_it_takes():
    before = private_bytes()
    held = aligned(64 << 20).fill_(1)
    assert private_bytes() - before > len(held) * 3 // 4
