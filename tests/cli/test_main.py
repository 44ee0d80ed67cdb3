"""Every run of the program ends in a way that people and scripts can rely on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import typer
from tests.cli.conftest import Runner
from tests.cli.fake_app import FakeApp
from tests.cli.terminal import BANYAN, environment, on_terminal
from tests.models.openai_double import Exchange, openai_double

import banyan
from banyan.cli import main as main_module
from banyan.cli.main import interruptible
from banyan.core.errors import Overloaded


def test_the_version_is_printed(run: Runner) -> None:
    assert run("version").out == f"banyan {banyan.__version__}\n"
    assert run("--version").out == f"banyan {banyan.__version__}\n"
    assert run("version", "--json").json == {"version": banyan.__version__}


def test_help_names_every_command(run: Runner) -> None:
    shown = run("--help")
    assert shown.code == 0
    for name in ("up", "add", "ask", "search", "chat", "serve", "models", "doctor", "keys"):
        assert re.search(rf"\b{name}\b", shown.out)


def test_an_error_is_one_line_with_its_remedy_and_its_exit_code(run: Runner, app: FakeApp) -> None:
    ended = run("chat", "nobody")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == "error: There is no model 'nobody'.\n→ `banyan models list`\n"


def test_an_error_is_json_too_where_json_was_asked_for(run: Runner, app: FakeApp) -> None:
    ended = run("chat", "nobody", "--json")
    assert ended.json["error"] == {
        "code": "unknown_model",
        "message": "There is no model 'nobody'.",
        "remedy": "`banyan models list`",
    }
    assert ended.err.startswith("error: ")


def test_a_fault_of_our_own_has_no_traceback_unless_asked(
    run: Runner, app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(context: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(app.library, "bases", broken)
    quiet = run("knowledge", "bases")
    assert quiet.code == 1
    assert "ZeroDivisionError: by zero" in quiet.err
    assert "Traceback" not in quiet.err
    assert "Traceback" in run("--debug", "knowledge", "bases").err
    assert app.closed == 2


def test_a_folder_that_cannot_be_written_is_named(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = run("keys", "add", "laptop", "--home", str(tmp_path / "file" / "home"))
    assert ended.code == 7
    assert f"{tmp_path}/file/home: Not a directory." in ended.err


@pytest.mark.parametrize("kind", [Overloaded])
def test_the_exit_code_is_the_errors(
    run: Runner, app: FakeApp, monkeypatch: pytest.MonkeyPatch, kind: type[Overloaded]
) -> None:
    def busy(context: object) -> None:
        raise kind("Busy.")

    monkeypatch.setattr(app.library, "bases", busy)
    assert run("knowledge", "bases").code == kind.exit_code == 8


@pytest.mark.parametrize(
    "arguments",
    [("frobnicate",), ("ask",), ("search", "x", "-k", "0"), ("up", "--port", "99999"), ("add",)],
)
def test_wrong_arguments_are_explained(run: Runner, arguments: tuple[str, ...]) -> None:
    ended = run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "--help" in ended.err


def test_an_unknown_setting_in_the_environment_is_an_error(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANYAN_PROT", "1")
    ended = run("models", "list")
    assert ended.code == 2
    assert "BANYAN_PROT is not a setting" in ended.err


def test_every_command_prints_json() -> None:
    def commands(command: object) -> list[object]:
        inner = getattr(command, "commands", {})
        return [leaf for one in inner.values() for leaf in (commands(one) or [one])]

    for command in commands(typer.main.get_command(main_module.app)):
        options = {name for parameter in command.params for name in parameter.opts}  # type: ignore[attr-defined]  # typer's own class is private
        assert "--json" in options, command


def test_the_first_ctrl_c_unwinds_and_the_second_is_hard() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    assert signal.getsignal(signal.SIGINT) == before
    with pytest.raises(SystemExit) as ended, interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
    assert ended.value.code == 143
    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_command_ends_at_once_and_without_a_traceback(
    home: Path, number: int, code: int
) -> None:
    asked = threading.Event()

    def silent(exchange: Exchange) -> None:
        asked.set()
        exchange.server.double.left.wait(10)

    with openai_double(models=silent) as server:
        process = subprocess.Popen(
            [*BANYAN, "models", "connect", server.url],
            env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert asked.wait(20)
        began = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
        server.left.set()
    assert process.returncode == code
    assert time.monotonic() - began < 5
    assert "Traceback" not in out + err
    assert not (home / "connections.json").exists()


def test_a_reader_that_goes_away_is_no_error_worth_a_traceback(home: Path) -> None:
    process = subprocess.Popen(
        [*BANYAN, "models", "list", "--json"],
        env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.wait(10) == 1


def test_names_and_questions_in_another_encoding_end_no_command(home: Path) -> None:
    (home / "docs").mkdir()
    Path(os.fsdecode(os.fsencode(home) + b"/docs/caf\xe9.txt")).write_text("Grass is green.")
    (home / "docs" / "天.txt").write_text("The sky is blue.")

    def banyan(*arguments: str | bytes, **more: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*BANYAN, *arguments],
            env=environment(home, **more),
            capture_output=True,
            input=b"Is gr\xffss green?",
        )

    added = banyan("add", str(home / "docs"))
    assert added.returncode == 0
    assert b"2 added" in added.stdout
    assert b"caf\\xe9.txt" in added.stdout
    assert b"2 unchanged" in banyan("add", str(home / "docs"), PYTHONIOENCODING="ascii").stdout
    asked = banyan("ask", b"what \xff is")
    assert (asked.returncode, b"no text" in asked.stderr) == (2, True)
    assert banyan("search", "-").returncode == 0
    assert b"no file or folder" in banyan("add", b"\xff", "--json").stdout


@pytest.mark.parametrize(("more", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_for_terminals_that_want_them(
    home: Path, more: dict[str, str], coloured: bool
) -> None:
    shown = on_terminal(["models", "show", "nobody"], environment(home, TERM="xterm", **more))
    assert "There is no model 'nobody'" in shown
    assert ("\x1b[1;31m" in shown) == coloured


def test_a_pipe_gets_no_escape_codes(home: Path) -> None:
    piped = subprocess.run(
        [*BANYAN, "models", "show", "nobody"], env=environment(home), capture_output=True
    )
    assert piped.returncode == 3
    assert b"\x1b" not in piped.stdout + piped.stderr
