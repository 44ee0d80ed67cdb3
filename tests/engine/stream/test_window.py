"""The window: layers whole and in order, no more of them at a time than there are slots."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.stream.carriers import Recorded
from tests.engine.toy import wait_until

from banyan.core.errors import EngineFailed
from banyan.engine.stream.window import Window

LAYERS = 6


def passes(window: Window[list[int]], layers: list[int], times: int = 1) -> list[list[int]]:
    """What each layer was while it was computed."""
    seen = []
    for _ in range(times):
        for layer in layers:
            with window.layer(layer) as content:
                seen.append(list(content))
    return seen


@settings(max_examples=60, deadline=None)
@given(
    layers=st.lists(st.integers(0, 40), min_size=1, max_size=9, unique=True).map(sorted),
    slots=st.integers(2, 5),
    asked=st.lists(st.integers(0, 8), max_size=25),
    slow=st.sets(st.integers(0, 40)),
    failing=st.sets(st.integers(0, 40), max_size=3),
)
def test_any_layer_that_is_asked_for_comes_whole_or_with_its_error(
    layers, slots, asked, slow, failing
):
    carrier = Recorded(slots, lambda layer: 0.001 if layer in slow else 0.0)
    carrier.failures = {layer: OSError(f"layer {layer}") for layer in failing}
    window = Window(layers, carrier)
    told = set()
    try:
        for layer in [*layers, *(layers[place % len(layers)] for place in asked), *layers]:
            try:
                with window.layer(layer) as content:
                    assert content == [layer, layer]
            except OSError as error:
                told.add(str(error))
    finally:
        window.close()
    assert told == {f"layer {layer}" for layer in failing & set(layers)}
    assert carrier.faults == []
    assert carrier.most_full <= slots
    assert carrier.is_closed


def test_in_a_cycle_each_layer_is_brought_once_a_pass_and_the_next_pass_begins_early():
    carrier = Recorded(2)
    window = Window(range(LAYERS), carrier)
    passes(window, list(range(LAYERS)), times=2)
    wait_until(lambda: len(carrier.brought) == 2 * LAYERS + 2)  # two slots: 0 and 1 of the next
    window.close()
    assert carrier.brought == [place % LAYERS for place in range(2 * LAYERS + 2)]


def test_the_next_layer_is_brought_while_one_is_computed():
    carrier = Recorded(2)
    window = Window(range(LAYERS), carrier)
    with window.layer(0):
        wait_until(lambda: carrier.brought == [0, 1])
    window.close()


def test_a_layer_in_use_keeps_its_slot_however_many_are_in_it():
    carrier = Recorded(2)
    window = Window(range(LAYERS), carrier)
    with window.layer(0) as one, window.layer(0) as other:
        assert one is other
        with window.layer(1):
            time.sleep(0.02)
            assert one == [0, 0]
    window.close()
    assert carrier.faults == []


def test_two_threads_half_a_layer_apart_read_each_layer_once():
    carrier = Recorded(2, lambda _: 0.001)
    window = Window(range(LAYERS), carrier)
    meet = threading.Barrier(2, timeout=10)
    seen = []

    def second() -> None:
        for layer in range(LAYERS):
            with window.layer(layer) as content:
                meet.wait()  # the first is in the same layer
                meet.wait()  # and has left it
                seen.append(list(content))

    thread = threading.Thread(target=second)
    thread.start()
    for layer in range(LAYERS):
        with window.layer(layer):
            meet.wait()
        meet.wait()
    thread.join()
    window.close()
    assert seen == [[layer, layer] for layer in range(LAYERS)]
    assert carrier.brought[:LAYERS] == list(range(LAYERS))
    assert carrier.faults == []


def test_a_pass_that_breaks_off_does_not_slow_down_the_next_ones():
    carrier = Recorded(3)
    window = Window(range(LAYERS), carrier)
    passes(window, [0, 1, 2])
    passes(window, list(range(LAYERS)))
    carrier.brought.clear()
    passes(window, list(range(LAYERS)), times=3)
    window.close()
    assert len(carrier.brought) <= 3 * LAYERS + 3


def test_with_a_slot_for_every_layer_none_is_brought_twice():
    carrier = Recorded(LAYERS)
    window = Window(range(LAYERS), carrier)
    passes(window, list(range(LAYERS)), times=3)
    window.close()
    assert sorted(carrier.brought) == list(range(LAYERS))


def test_a_failure_is_told_once_and_the_layer_is_then_tried_again():
    carrier = Recorded(2)
    carrier.failures = {1: OSError("the disk")}
    window = Window(range(LAYERS), carrier)
    passes(window, [0])
    with pytest.raises(OSError, match="the disk"), window.layer(1):
        pass
    assert passes(window, [1, 2]) == [[1, 1], [2, 2]]
    window.close()


def test_what_the_computing_raises_frees_the_slot():
    carrier = Recorded(2)
    window = Window(range(LAYERS), carrier)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), window.layer(0):
            raise ZeroDivisionError
    passes(window, list(range(LAYERS)))
    window.close()
    assert carrier.faults == []


def test_closing_frees_who_waits_and_ends_the_thread():
    carrier = Recorded(2, lambda _: 0.2)
    window = Window(range(LAYERS), carrier)
    raised: list[Exception] = []

    def wait() -> None:
        try:
            passes(window, [5])
        except EngineFailed as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    window.close()
    window.close()
    thread.join(5)
    assert len(raised) == 1
    assert not any(each.name == "layer reader" for each in threading.enumerate())


def test_one_slot_is_no_window():
    with pytest.raises(ValueError, match="2 slots"):
        Window(range(LAYERS), Recorded(1))
