"""Chat through a pipe and at a prompt."""

from __future__ import annotations

import builtins
import io
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Runner
from tests.cli.fake_app import FakeApp
from tests.cli.terminal import environment, on_terminal
from tests.models.openai_double import models_of, openai_double, says

from banyan.cli import chat as chat_module
from banyan.core.context import Context
from banyan.core.types import Message
from banyan.models.connections import Connections


def test_a_piped_text_is_one_message_and_the_reply_is_all_that_is_printed(
    run: Runner, app: FakeApp
) -> None:
    shown = run("chat", "tiny", "--system", "Be brief.", stdin="Two\nlines\n")
    assert (shown.code, shown.out, shown.err) == (0, "Good day.\n", "")
    assert app.talker.asked == [
        (Message(role="system", content="Be brief."), Message(role="user", content="Two\nlines"))
    ]


def test_as_json_the_reply_streams_event_by_event(run: Runner, app: FakeApp) -> None:
    lines = run("chat", "tiny", "--json", stdin="Hi").lines
    assert [line["type"] for line in lines] == ["token_ready", "token_ready", "generation_done"]


def test_an_empty_pipe_asks_nothing(run: Runner, app: FakeApp) -> None:
    assert run("chat", "tiny", stdin="").out == ""
    assert app.talker.asked == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lines a person types; after the last one comes Ctrl-D."""
    lines: list[str] = []

    def read(prompt: str = "") -> str:
        if not lines:
            raise EOFError
        return lines.pop(0)

    monkeypatch.setattr(builtins, "input", read)
    monkeypatch.setattr(chat_module, "sys", _Sys())
    return lines


class _Sys:
    stdin = Terminal()


def test_a_conversation_is_remembered_turn_by_turn(
    run: Runner, app: FakeApp, typed: list[str]
) -> None:
    typed += ["Hi", "", "Again", "/exit", "never read"]
    shown = run("chat", "tiny")
    assert shown.out == "Good day.\nOnce more.\n"
    assert [turn.content for turn in app.talker.asked[1]] == ["Hi", "Good day.", "Again"]
    assert typed == ["never read"]


def test_a_new_conversation_forgets_the_old_one(
    run: Runner, app: FakeApp, typed: list[str]
) -> None:
    typed += ["Hi", "/new", "Again"]
    run("chat", "tiny")
    assert [turn.content for turn in app.talker.asked[1]] == ["Again"]


def test_a_block_of_several_lines_is_one_message(
    run: Runner, app: FakeApp, typed: list[str]
) -> None:
    typed += ['"""def f():', "    return 1", '"""']
    run("chat", "tiny")
    assert app.talker.asked[0][0].content == "def f():\n    return 1"


def test_an_unknown_command_is_answered_with_help_and_not_sent(
    run: Runner, app: FakeApp, typed: list[str]
) -> None:
    typed += ["/what"]
    assert "/exit ends" in run("chat", "tiny").err
    assert app.talker.asked == []


def test_a_pasted_text_of_several_lines_is_one_message(home: Path) -> None:
    """On a real terminal, with a real connection: what a person pastes is not cut at its lines."""
    with openai_double(models=models_of("far"), chat=says("Fine.")) as server:
        Connections(home).add(server.url, Context())
        seen = on_terminal(
            ["chat", "far"],
            environment(home, TERM="xterm", NO_PROXY="*"),
            answers=[(b"> ", b"\x1b[200~first\nsecond\x1b[201~\r"), (b"> ", b"\x04")],
        )
        body = server.requests[-1][2]
    assert body["messages"] == [{"role": "user", "content": "first\nsecond"}]
    assert "Fine." in seen


def test_ctrl_c_stops_a_reply_and_the_conversation_goes_on(
    run: Runner, app: FakeApp, typed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = iter([interrupted(), iter(())])
    monkeypatch.setattr(app.talker, "chat", lambda *_: next(turns))
    typed += ["Hi", "Again"]
    shown = run("chat", "tiny")
    assert shown.code == 0
    assert "Stopped." in shown.err


def test_every_ctrl_c_stops_a_reply_not_only_the_first(
    run: Runner, app: FakeApp, typed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*_: object) -> Iterator[object]:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
        yield

    monkeypatch.setattr(app.talker, "chat", pressed)
    typed += ["Hi", "Again", "Once more"]
    shown = run("chat", "tiny")
    assert (shown.code, shown.err.count("Stopped.")) == (0, 3)


def interrupted() -> Iterator[object]:
    raise KeyboardInterrupt
    yield
