"""The composition root: what can be named, what is chosen, what runs in which process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.engine.toy import write_toy

from banyan.app import App, local_models
from banyan.app.local_models import has_torch
from banyan.core.context import Context
from banyan.core.errors import EngineMissing, InputError, UnknownModel
from banyan.core.settings import Settings
from banyan.engine.process import EngineProcess


def _settings(home: Path) -> Settings:
    return replace(Settings(), home=home)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    made = App(_settings(tmp_path))
    yield made
    made.close()


@pytest.fixture
def app_with_models(tmp_path: Path, models_home: Path) -> Iterator[App]:
    (tmp_path / "models").symlink_to((models_home / "models").resolve())
    made = App(_settings(tmp_path))
    yield made
    made.close()


def test_an_empty_home_offers_the_multilingual_encoder_and_quotes_sentences(app: App) -> None:
    assert [model.name for model in app.models()] == ["use-multilingual-v3"]
    assert app.answer_model == ""
    assert app.writer() is None
    assert app.scorer() is None


def test_an_unknown_model_is_refused_by_name(app: App) -> None:
    with pytest.raises(UnknownModel, match="no-such"):
        app.chat_model("no-such")
    with pytest.raises(UnknownModel, match="no-such"):
        app.set_answer_model("no-such")


def test_the_encoder_embeds_under_its_name(app: App) -> None:
    vectors = app.embedder("use-multilingual-v3").embed(["hello", "你好"], Context())
    assert vectors.shape == (2, 512)


def test_the_status_tells_of_the_machine_and_of_every_process(app: App) -> None:
    status = app.status()
    assert set(status) == {"machine", "memory", "engine"}
    memory = status["memory"]
    assert isinstance(memory, dict)
    assert memory["processes"][0]["name"] == "server"


def test_the_choice_of_the_answer_model_outlives_the_process(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "chat_model", lambda name: name)
    app.set_answer_model("big")
    again = App(app.settings)
    assert again.answer_model == "big"
    again.set_answer_model("")
    assert app.answer_model == ""
    again.close()


@pytest.mark.models
def test_without_torch_a_local_model_says_what_is_missing(
    app_with_models: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_models, "has_torch", lambda: False)
    with pytest.raises(EngineMissing) as caught:
        app_with_models.chat_model("smollm2-135m-instruct")
    assert "banyan-llm[engine]" in caught.value.remedy
    assert app_with_models.scorer() is None


@pytest.mark.models
def test_a_chat_model_does_not_embed(app_with_models: App) -> None:
    with pytest.raises(InputError, match="of the kind chat"):
        app_with_models.embedder("smollm2-135m-instruct")


@pytest.mark.models
def test_an_encoder_does_not_chat(app_with_models: App) -> None:
    for name in (app_with_models.chat_model, app_with_models.text_model):
        with pytest.raises(InputError, match="of the kind embedding"):
            name("all-minilm-l6-v2")


@pytest.mark.models
def test_an_encoder_that_was_added_embeds_under_its_name(
    app: App, app_with_models: App, models_home: Path
) -> None:
    added = app.store.add(models_home / "models" / "all-minilm-l6-v2", name="mine")
    assert added.kind == "embedding"
    text = ["A banyan tree stands on many trunks."]
    mine = app.embedder("mine").embed(text, Context())
    packaged = app_with_models.embedder("all-minilm-l6-v2").embed(text, Context())
    assert (mine == packaged).all()
    assert app.embedder("mine") is app.embedder("mine")


def test_a_removed_model_is_unloaded_and_writes_no_more_answers(app: App, tmp_path: Path) -> None:
    app.store.add(write_toy(tmp_path / "toy"), name="toy")
    app.set_answer_model("toy")
    writer = app.writer()
    assert isinstance(writer, EngineProcess)
    writer.start()
    child = writer._link._process if writer._link else None
    assert child is not None
    app.remove_model("toy", Context())
    assert child.poll() is not None
    assert app.answer_model == ""
    assert app.writer() is None
    with pytest.raises(UnknownModel):
        app.remove_model("toy", Context())


@pytest.mark.models
def test_small_and_large_texts_of_minilm_get_the_same_vectors(app_with_models: App) -> None:
    embedder = app_with_models.embedder("all-minilm-l6-v2")
    text = "A banyan tree stands on many trunks. " * 4
    small = embedder.embed([text], Context())[0]
    large = embedder.embed([text] * 20, Context())[0]
    assert float(small @ large) > 0.999


@pytest.mark.models
def test_the_reranker_loads_without_making_a_question_wait(app_with_models: App) -> None:
    started = time.perf_counter()
    assert app_with_models.scorer() is None
    assert time.perf_counter() - started < 1.0
    deadline = time.monotonic() + 60
    while app_with_models.scorer() is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_this_process_never_imports_torch() -> None:
    code = "import sys, banyan.app; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert has_torch()


def test_the_ingest_worker_adds_the_sample_and_ends_with_its_parent(app: App) -> None:
    app.start_ingest_worker()
    deadline = time.monotonic() + 60
    while not [base for base in app.library.bases(Context()) if base.documents == 30]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    worker = app._worker
    assert worker is not None
    app.close()
    assert worker._process.poll() is not None
