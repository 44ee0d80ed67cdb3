"""Layers on their way to a card, with lanes that are as late as they may be."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from tests.engine.stream.late_lanes import late_lanes
from torch import Tensor

from banyan.core.errors import EngineFailed
from banyan.engine.stream.card import CardCarrier

CPU = torch.device("cpu")
NUMBERS = 5000


class Runs:
    """Layers that stay in memory, each full of its own number."""

    stay = True

    def close(self):
        pass

    def layer(self, index: int):
        if index == 13:
            raise EngineFailed("The disk does not answer.")
        return nullcontext(torch.full((NUMBERS,), index, dtype=torch.uint8))


def carrier(host=None) -> CardCarrier:
    return CardCarrier(
        host or Runs(),
        lambda index, run: run,  # type: ignore[arg-type,return-value]  # the bytes will do
        slot_bytes=NUMBERS,
        slots=2,
        device=CPU,
        lanes=late_lanes(),
    )


def bytes_in(layer: object) -> set[int]:
    assert isinstance(layer, Tensor)
    return set(layer.tolist())


def test_a_layer_is_whole_once_it_is_entered():
    cards = carrier()
    layers = [cards.bring(number, number % 2) for number in (3, 4)]
    for slot, number in enumerate((3, 4)):
        cards.enter(slot)
        assert bytes_in(layers[slot]) == {number}
        cards.leave(slot)
    assert cards.moved_bytes == 2 * NUMBERS


def test_layers_that_only_pass_through_memory_are_kept_until_they_are_copied():
    class Passing(Runs):
        stay = False
        run = torch.zeros(NUMBERS, dtype=torch.uint8)

        def layer(self, index: int):
            self.run.fill_(index)  # the same memory for every layer
            return nullcontext(self.run)

    cards = carrier(Passing())
    first, second = cards.bring(1, 0), cards.bring(2, 1)
    cards.enter(0)
    cards.enter(1)
    assert (bytes_in(first), bytes_in(second)) == ({1}, {2})


def test_every_slot_begins_where_a_card_s_fast_kernels_want_it():
    cards = carrier()
    first, second = (cards.bring(number, number) for number in (0, 1))
    assert isinstance(first, Tensor)
    assert isinstance(second, Tensor)
    assert (second.data_ptr() - first.data_ptr()) % 256 == 0


def test_why_a_layer_does_not_come_is_told():
    with pytest.raises(EngineFailed, match="does not answer"):
        carrier().bring(13, 0)
