"""The shelf finds models by name, keeps added ones where they are, and deletes only its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.models.conftest import Tiny
from tests.models.gguf_bytes import gguf

from banyan.core.context import Context
from banyan.core.errors import (
    CheckpointInvalid,
    Conflict,
    HashMismatch,
    InputError,
    UnknownModel,
    UnsupportedModel,
)
from banyan.core.events import ModelReady
from banyan.models.records import check_name, model_name
from banyan.models.store import Store


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "Qwen2.5-0.5B-Instruct-Q4_K_M.gguf"
    path.parent.mkdir()
    path.write_bytes(gguf("qwen2", context=32768, title="Qwen2.5", licence="apache-2.0"))
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_an_added_model_is_described_by_its_header_and_stays_in_place(
    home: Path, model_file: Path
) -> None:
    added = Store(home).add(model_file)
    (found,) = [model for model in Store(home).installed() if model.origin == "added"]
    assert found == added
    assert (found.name, found.path) == ("qwen2.5-0.5b-instruct-q4_k_m", model_file)
    assert (found.architecture, found.context_length) == ("qwen2", 32768)
    assert (found.licence, found.purpose) == ("apache-2.0", "Qwen2.5")
    assert Store(home).resolve(found.name) == model_file
    assert [p.name for p in (home / "models" / found.name).iterdir()] == ["model.json"]


def test_a_checkpoint_folder_is_added_as_a_whole(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "My Model"
    folder.mkdir()
    config = {"model_type": "bert", "max_position_embeddings": 512}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"x" * 10)
    added = Store(home).add(folder)
    assert (added.name, added.kind, added.path) == ("my-model", "embedding", folder)
    assert (added.context_length, added.size_bytes) == (512, 10)


def test_adding_again_is_harmless_and_another_of_the_name_is_refused(
    home: Path, model_file: Path, tmp_path: Path
) -> None:
    store = Store(home)
    store.add(model_file, name="mine")
    store.add(model_file, name="mine")
    other = tmp_path / "other.gguf"
    other.write_bytes(gguf("llama"))
    with pytest.raises(Conflict, match="mine"):
        store.add(other, name="mine")


def test_a_name_of_the_catalogue_stays_the_catalogues(home: Path, model_file: Path) -> None:
    with pytest.raises(Conflict, match="catalogue"):
        Store(home).add(model_file, name="smollm2-135m-instruct")


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "A", "a/b", "-a", "a" * 101, "ä"])
def test_a_name_that_could_leave_the_shelf_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        check_name(name)


@pytest.mark.parametrize("text", ["a/../..", "///", "Ünïcode: x", "", "x" * 500, ".hidden"])
def test_any_text_becomes_a_usable_name(text: str) -> None:
    assert check_name(model_name(text)) == model_name(text)


def test_what_is_no_model_is_not_added(home: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes.gguf"
    text.write_text("not a model at all, only its name says so")
    with pytest.raises(CheckpointInvalid, match="not a GGUF file"):
        Store(home).add(text)
    with pytest.raises(InputError, match="no file or folder"):
        Store(home).add(tmp_path / "absent.gguf")


def test_a_model_the_engine_does_not_run_is_refused_with_a_way_out(
    home: Path, tmp_path: Path
) -> None:
    path = tmp_path / "speech.gguf"
    path.write_bytes(gguf("whisper"))
    with pytest.raises(UnsupportedModel, match="whisper") as caught:
        Store(home).add(path)
    assert "connect" in caught.value.remedy


def test_an_unknown_model_comes_with_near_names_and_the_command_that_helps(
    home: Path, model_file: Path
) -> None:
    Store(home).add(model_file, name="mistral-7b")
    with pytest.raises(UnknownModel, match="close to it: mistral-7b"):
        Store(home).resolve("mistral-7")
    with pytest.raises(UnknownModel, match="not installed") as caught:
        Store(home).resolve("smollm2-135m-instruct")
    assert caught.value.remedy == "`banyan models pull smollm2-135m-instruct`"


def test_a_path_is_resolved_as_a_path(home: Path, model_file: Path) -> None:
    assert Store(home).resolve(str(model_file)) == model_file
    with pytest.raises(UnknownModel, match="no file or folder"):
        Store(home).resolve("/nowhere/model.gguf")


def test_verify_remembers_an_added_models_hash_and_notices_a_change(
    home: Path, model_file: Path
) -> None:
    store = Store(home)
    name = store.add(model_file).name
    *_, ready = store.verify(name, Context())
    assert isinstance(ready, ModelReady)
    (file,) = store.get(name).files
    assert len(file.sha256) == 64
    data = bytearray(model_file.read_bytes())
    data[-1] ^= 1
    model_file.write_bytes(bytes(data))
    with pytest.raises(HashMismatch):
        list(store.verify(name, Context()))
    model_file.write_bytes(bytes(data[:-1]))
    with pytest.raises(CheckpointInvalid, match="bytes, not"):
        list(store.verify(name, Context()))


def test_removing_forgets_an_added_model_and_deletes_a_pulled_one(
    home: Path, model_file: Path, tiny: Tiny
) -> None:
    store = Store(home)
    name = store.add(model_file).name
    list(store.pull("tiny", Context(), source=tiny.wheels, accept_licence="tiny"))
    store.remove(name)
    store.remove("tiny")
    assert model_file.exists()
    assert not list((home / "models").glob("[!.]*"))
    with pytest.raises(UnknownModel):
        store.remove(name)


def test_nothing_outside_the_shelf_can_be_removed(
    home: Path, tmp_path: Path, model_file: Path
) -> None:
    Store(home).add(model_file, name="mine")
    (home / "models" / "mine").rename(tmp_path / "precious")
    with pytest.raises(InputError, match="cannot be a model's name"):
        Store(home).remove("../../precious")
    stray = home / "models" / "stray"
    stray.mkdir(parents=True)
    with pytest.raises(UnknownModel):
        Store(home).remove("stray")
    assert stray.exists()
    assert (tmp_path / "precious" / "model.json").exists()


def test_the_bundled_encoder_is_listed_verified_and_not_removable(home: Path) -> None:
    store = Store(home)
    assert store.get("use-multilingual-v3").origin == "bundled"
    *_, ready = store.pull("use-multilingual-v3", Context())
    assert isinstance(ready, ModelReady)
    assert ready.already
    with pytest.raises(InputError, match="part of Banyan's installation"):
        store.remove("use-multilingual-v3")


def test_a_model_whose_files_have_gone_is_reported_with_its_mend(
    home: Path, model_file: Path
) -> None:
    store = Store(home)
    name = store.add(model_file).name
    model_file.unlink()
    assert store.get(name).info().state == "missing"
    with pytest.raises(UnknownModel, match="are gone"):
        store.resolve(name)
    (problem,) = store.problems()
    assert problem.mend == f"banyan models remove {name}"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "x"}', '{"path": 1, "files": [1]}'])
def test_a_broken_record_is_a_problem_and_hides_no_other_model(
    home: Path, model_file: Path, text: str
) -> None:
    store = Store(home)
    store.add(model_file, name="good")
    broken = home / "models" / "broken"
    broken.mkdir()
    (broken / "model.json").write_text(text)
    assert "good" in {model.name for model in store.installed()}
    (problem,) = store.problems()
    assert "broken" in problem.detail


def test_a_folder_without_a_record_is_a_stray(home: Path) -> None:
    (home / "models" / "copied").mkdir(parents=True)
    assert [path.name for path in Store(home).strays()] == ["copied"]


def test_a_home_can_be_moved(home: Path, tiny: Tiny, tmp_path: Path) -> None:
    list(Store(home).pull("tiny", Context(), source=tiny.wheels, accept_licence="tiny"))
    moved = tmp_path / "moved"
    home.rename(moved)
    assert Store(moved).resolve("tiny").read_bytes() == tiny.data


@pytest.mark.models
def test_the_packaged_models_are_whole(models_home: Path) -> None:
    for name in ("smollm2-135m-instruct", "all-minilm-l6-v2"):
        *_, ready = Store(models_home).verify(name, Context())
        assert isinstance(ready, ModelReady)
