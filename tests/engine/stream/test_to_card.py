"""The way from a staging file through the host's memory to slots, here on a processor."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from banyan.core.errors import PlanImpossible
from banyan.engine import reference
from banyan.engine.model import Model, load_model
from banyan.engine.stream.staging import Staging, write_staging
from banyan.engine.stream.streamed import StreamedWeights
from banyan.engine.stream.to_card import ToCard
from banyan.engine.stream.window import Window
from banyan.plan.budget import Demand, Fit

IDS = [int(token) for token in torch.randint(3, 160, (9,), generator=torch.manual_seed(3))]
CPU = torch.device("cpu")


@pytest.fixture
def whole(tiny) -> Model:
    return load_model(tiny("gemma3-six-layers"), "fp32", 1)


@pytest.fixture
def staging(whole: Model, tmp_path: Path) -> Staging:
    layers = []
    for number in range(whole.config.layers):
        with whole.weights.layer(number) as layer:
            layers.append(layer)
    write_staging(tmp_path / "six.staging", layers)
    return Staging(tmp_path / "six.staging")


def all_pass_but(resident: tuple[int, ...], staging: Staging) -> Fit:
    sizes = tuple(layer.size_bytes for layer in staging.layers)
    demand = Demand(layers=sizes, ends=0, kv=0, activations=0)
    return Fit(
        limit=1 << 40,
        demand=demand,
        resident=resident,
        slots=2,
        slot_bytes=max(sizes),
        step_s=0.0,
    )


@pytest.mark.parametrize("host_layers", [0, 5, 3])
def test_logits_are_the_same_whether_the_host_keeps_all_layers_or_a_few(
    whole, staging, host_layers
):
    fit = all_pass_but((2,), staging)
    way = ToCard(staging, CPU, host_layers * fit.slot_bytes)
    window = Window(fit.streamed, way.carrier(fit))
    ends = whole.weights.embedding, whole.weights.head
    weights = StreamedWeights(*ends, {2: way.keep(2)}, window, staging, fit)
    streamed = Model(whole.config, weights, whole.dtype)
    for _ in range(2):
        assert torch.equal(reference.logits(streamed, IDS), reference.logits(whole, IDS))
    weights.close()


def test_a_host_without_room_for_two_layers_is_refused_with_the_arithmetic(staging):
    fit = all_pass_but((), staging)
    with pytest.raises(PlanImpossible, match="2 at a time") as refused:
        ToCard(staging, CPU, fit.slot_bytes).carrier(fit)
    assert refused.value.remedy == "Raise host_memory."


def test_the_pace_is_that_of_the_disk_where_layers_come_from_it(whole, staging, monkeypatch):
    monkeypatch.setattr(Staging, "read", slow_read(Staging.read))
    head = whole.weights.head
    few, all_of_them = (
        ToCard(staging, CPU, host_bytes).pace(whole.config, head, whole.dtype)
        for host_bytes in (1, 0)
    )
    assert few.copy_bandwidth < staging.layers[0].size_bytes / 0.05
    assert all_of_them.copy_bandwidth > staging.layers[0].size_bytes / 0.05


def slow_read(read):
    def slowly(self, layer, buffer):
        time.sleep(0.05)
        return read(self, layer, buffer)

    return slowly
