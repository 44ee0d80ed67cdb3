"""Streamed weights compute what resident ones do, bit for bit, in every layout."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.engine.messages import on_ranks
from tests.engine.ranks import Summing, anywhere, one_sequence
from tests.engine.seated import seated_engine
from tests.engine.watched import write

from banyan.core.errors import InputError, PlanImpossible, StagingInvalid
from banyan.core.layout import Interval, Layout, Stage
from banyan.engine import reference
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.config import EngineConfig
from banyan.engine.engine import Engine
from banyan.engine.model import load
from banyan.engine.stream import loading
from banyan.plan.budget import Demand, Fit, Pace

IDS = [int(token) for token in torch.randint(3, 160, (24,), generator=torch.manual_seed(3))]
PLENTY = 1 << 40

Stream = Callable[..., EngineConfig]


@pytest.fixture
def stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stream:
    """A config under which all layers but ``stay`` pass through ``slots``."""

    def choose(precision: str = "fp32", stay: tuple[int, ...] = (), slots: int = 2) -> EngineConfig:
        def chosen(demand: Demand, limit: int, pace: Pace) -> Fit:
            return Fit(
                limit=limit,
                demand=demand,
                resident=stay,
                slots=slots,
                slot_bytes=max(demand.layers),
                step_s=0.0,
            )

        monkeypatch.setattr(loading, "fit", chosen)
        return EngineConfig(
            precision=precision,
            threads=1,
            kv_cache_bytes=1 << 20,
            device_memory=PLENTY,
            staging=str(tmp_path),
        )

    return choose


def resident(config: EngineConfig) -> EngineConfig:
    return replace(config, device_memory=0)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "packed"])
@pytest.mark.parametrize("family", ["llama-mha-tied-biased", "qwen3-moe", "gemma3-six-layers"])
def test_logits_are_those_of_resident_weights_pass_after_pass(tiny, stream, family, precision):
    config = stream(precision, stay=(1,))
    model = load(tiny(family), config)
    expected = reference.logits(load(tiny(family), resident(config)), IDS)
    for _ in range(3):
        assert torch.equal(reference.logits(model, IDS), expected)
    model.close()


@pytest.mark.models
@pytest.mark.parametrize("precision", ["bf16", "packed"])
def test_logits_of_the_packaged_model_are_those_of_resident_weights(models_home, stream, precision):
    chat_model = models_home / "models" / "smollm2-135m-instruct"
    config = stream(precision, stay=tuple(range(0, 30, 3)), slots=3)
    model = load(chat_model, config)
    expected = reference.logits(load(chat_model, resident(config)), IDS)
    assert torch.equal(reference.logits(model, IDS), expected)
    model.close()


@pytest.mark.parametrize("weights", [[1.0, 1.0], [2.0, 1.0]])
def test_ranks_that_split_every_layer_each_stream_their_own_share(tiny, stream, weights):
    path, config = tiny("llama"), stream("bf16", stay=(0,))
    shares = anywhere(open_checkpoint(path).config.shape, weights)

    def logits(config: EngineConfig) -> torch.Tensor:
        def work(messages):
            share = shares[messages.rank]
            model = load(path, config, share=share, vocab=shares[-1].vocab.end)
            caches = [reference.NoCache()] * model.config.layers
            found = model.forward(one_sequence(IDS), caches, Summing(messages))
            model.close()
            return found

        return torch.cat(on_ranks(len(shares), work), dim=-1)

    assert torch.equal(logits(config), logits(resident(config)))


def test_a_pipeline_of_groups_writes_the_same_text_streamed(toy, stream):
    shape = open_checkpoint(toy).config.shape
    config = stream("fp32")
    first = [replace(share, layers=Interval(0, 1)) for share in anywhere(shape, [1.0, 1.0])]
    second = [replace(share, layers=Interval(1, 2)) for share in anywhere(shape, [1.0])]
    layout = Layout(
        stages=(Stage(ranks=(0, 1), shares=tuple(first)), Stage(ranks=(2,), shares=tuple(second)))
    )
    texts = []
    for each in (config, resident(config)):
        with seated_engine(toy, layout, [2, 1], each) as engine:
            texts.append(write(engine, "The old mill"))
    assert texts[0] == texts[1]
    assert texts[0]


def test_closing_an_engine_ends_its_reader(toy, stream):
    engine = Engine.load(toy, stream("fp32").resolve())
    assert write(engine, "The old mill")
    assert "layer reader" in {thread.name for thread in threading.enumerate()}
    engine.close()
    assert "layer reader" not in {thread.name for thread in threading.enumerate()}


def test_a_changed_staging_file_fails_the_step_and_is_written_anew_at_the_next_load(
    tiny, stream, tmp_path
):
    path, config = tiny("llama"), stream("fp32")
    model = load(path, config)
    expected = reference.logits(model, IDS)
    (staged,) = tmp_path.glob("*.staging")
    with staged.open("r+b") as file:
        file.write(b"changed")
    with pytest.raises(StagingInvalid, match="changed after it was written"):
        for _ in range(2):  # what was read before the change may still be used
            reference.logits(model, IDS)
    model.close()
    model = load(path, config)
    assert torch.equal(reference.logits(model, IDS), expected)
    model.close()


def test_the_file_is_found_again_and_not_written_twice(toy, stream, tmp_path, monkeypatch):
    config = stream("fp32")
    load(toy, config).close()

    def refuses(*_: object) -> None:
        raise AssertionError("written again")

    monkeypatch.setattr(loading, "write_staging", refuses)
    load(toy, config).close()
    with pytest.raises(AssertionError, match="written again"):
        load(toy, replace(config, precision="bf16"))


def test_all_layers_stay_where_they_fit(toy, tmp_path):
    config = EngineConfig(threads=1, device_memory=PLENTY, staging=str(tmp_path))
    model = load(toy, config)
    assert model.weights.fit.slots == 0
    assert model.weights.window is None
    model.close()


def test_too_small_a_budget_is_refused_before_anything_is_written(toy, tmp_path):
    config = EngineConfig(threads=1, device_memory=1 << 20, staging=str(tmp_path / "staging"))
    with pytest.raises(PlanImpossible, match="does not run in 1 MiB"):
        load(toy, config)
    assert not list(tmp_path.rglob("*.staging"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"host_memory": 1}, "host_memory is for ranks on cards"),
        ({"staging": ""}, "needs a folder"),
    ],
)
def test_what_a_processor_cannot_do_is_refused(toy, stream, changes, message):
    with pytest.raises(InputError, match=message):
        load(toy, replace(stream("fp32"), **changes))


def test_an_engine_tells_its_memory_against_the_budget(toy, stream):
    engine = Engine.load(toy, stream("fp32").resolve())
    write(engine, "The old mill")
    memory, samples = engine.stats.memory, engine.memory_timeline
    engine.close()
    assert memory is not None
    assert memory.budget_bytes == PLENTY
    assert memory.choice.startswith("0 of 2 layers stay")
    assert memory.peak_bytes > 0
    assert [sample.layer for sample in samples[:4]] == [0, 1, 0, 1]
    assert samples[-1].step == len(samples) // 2 - 1
    assert all(sample.weights_bytes <= memory.planned_bytes for sample in samples)
