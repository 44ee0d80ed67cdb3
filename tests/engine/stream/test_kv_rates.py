"""What a card's choice rests on is measured, here with a processor in the card's place."""

from __future__ import annotations

import torch

from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.config import EngineConfig
from banyan.engine.stream.kv_rates import measure_rates


def test_both_ways_are_timed_on_what_a_layer_keeps(tiny) -> None:
    model = open_checkpoint(tiny("llama")).config
    rates = measure_rates(model, EngineConfig(threads=1), torch.bfloat16)
    assert 1e6 < rates.attended < 1e13
    assert 1e6 < rates.copied < 1e13
