"""The doctor says what is well, what is missing and which command mends it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from tests.cli.conftest import Runner
from tests.cli.fake_app import FakeApp
from tests.models.gguf_bytes import gguf

from banyan.cli import checks
from banyan.core.errors import SchemaMismatch
from banyan.core.settings import table


def test_what_is_missing_comes_with_the_command_that_mends_it(run: Runner, app: FakeApp) -> None:
    shown = run("doctor")
    assert shown.code == 0
    assert "model smollm2-135m-instruct  not installed" in shown.out
    assert "→ banyan models pull smollm2-135m-instruct" in shown.out
    assert "main: 1 documents" in shown.out


def test_the_machine_and_every_check_are_there_as_json(run: Runner, app: FakeApp) -> None:
    body = run("doctor", "--json").json
    assert body["machine"]["cores"] > 0
    names = [check["name"] for check in body["checks"]]
    for name in ("system", "processor", "memory", "disk", "gpu", "port", "engine", "knowledge"):
        assert name in names


def test_a_missing_engine_is_a_note_and_not_a_fault(
    run: Runner, app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "_has", lambda module: module != "torch")
    shown = run("doctor")
    assert shown.code == 0
    assert "torch not installed" in shown.out
    assert "→ pip install 'banyan-llm[engine]'" in shown.out


@pytest.mark.parametrize(
    ("compilers", "told"),
    [((), "four-bit models decode half as fast"), (("sh",), "compiles the engine's kernels")],
)
def test_it_tells_whether_the_kernels_can_be_compiled(
    monkeypatch: pytest.MonkeyPatch, compilers: tuple[str, ...], told: str
) -> None:
    monkeypatch.setattr(checks, "COMPILERS", compilers)
    found = checks._compiler()
    assert told in found.detail
    assert bool(found.mend) == (not compilers)


def test_a_broken_store_makes_the_exit_code_1(
    run: Runner, app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(context: object) -> None:
        raise SchemaMismatch("Written by version 9.", remedy="Update Banyan.")

    monkeypatch.setattr(app.library, "bases", broken)
    shown = run("doctor")
    assert shown.code == 1
    assert "✗ knowledge" in shown.out
    assert "→ Update Banyan." in shown.out


def test_a_model_whose_file_is_gone_makes_the_exit_code_1(
    run: Runner, app: FakeApp, tmp_path: Path
) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(gguf("llama"))
    run("models", "add", str(file))
    file.unlink()
    shown = run("doctor")
    assert shown.code == 1
    assert "→ banyan models remove m" in shown.out


def test_a_port_in_use_is_noted(run: Runner, app: FakeApp) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert f"127.0.0.1:{port} is in use" in run("doctor", "--port", str(port)).out


def test_every_setting_is_printed_with_the_value_in_force(
    run: Runner, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANYAN_PORT", "9999")
    body = run("doctor", "--settings", "--json").json
    rows = {row["name"]: row for row in body["settings"]}
    assert list(rows) == [name for name, _, _ in table()]
    assert (rows["BANYAN_PORT"]["value"], rows["BANYAN_PORT"]["default"]) == (9999, 8080)
    assert rows["BANYAN_HOME"]["value"] == str(home)
    assert "BANYAN_PORT" in run("doctor", "--settings").out
