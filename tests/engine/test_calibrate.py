"""A machine is measured on layers of random weights, in every precision it may compute in."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.plan.beds import bed

from banyan.core.layout import DeviceFacts, from_json, to_json
from banyan.engine import calibrate
from banyan.engine.config import EngineConfig
from banyan.engine.device_facts import measure_device
from banyan.engine.model import load_model


def test_a_processor_is_measured_dense_and_in_four_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "CPU_LAYERS", (256, 512, 2))
    found = calibrate.calibrated("cpu")
    dense = EngineConfig().resolve().precision
    assert [rates.kind for rates in found.measured] == [dense, "packed"]
    assert found.rates(dense).flops == found.flops
    assert all(rates.weight_bandwidth > 1e6 and rates.flops > 1e6 for rates in found.measured)
    assert 0 <= found.layer_overhead_s < 1
    assert from_json(DeviceFacts, to_json(found)) == found


@pytest.mark.parametrize("family", ["llama", "mixtral"])
def test_a_rank_measures_the_layers_that_it_has_loaded(tiny, family: str) -> None:
    found = measure_device(load_model(Path(tiny(family)), "fp32", 1), "fp32")
    assert [rates.kind for rates in found.measured] == ["fp32"]
    assert found.rates("bf16").flops == found.flops  # not measured: the same is assumed
    assert bed().hosts[0].devices[0].measured == ()


def test_weights_with_a_copy_are_measured_as_few_rows_and_as_many_read_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = calibrate.layers_of(256, 512, 2)
    weights = calibrate.load_weights(calibrate._checkpoint(config), "packed", 1, copy=True)
    dtype = calibrate.activation_dtype("packed")
    found = measure_device(calibrate.Model(config, weights, dtype), "packed+copy")
    assert [rates.kind for rates in found.measured] == ["packed", "bf16"]
