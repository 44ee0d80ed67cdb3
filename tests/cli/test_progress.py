"""Progress is drawn where somebody looks, and never mixes with the results."""

from __future__ import annotations

import sys

import pytest

from banyan.cli.progress import drawn
from banyan.core.events import ModelReady, Progress

READY = ModelReady(name="m", path="/m", size_bytes=1, already=False)
EVENTS = [
    Progress(stage="download", done=5, item="a\x1b[2J"),
    Progress(stage="verify", done=1, total=2),
    READY,
]


def test_a_pipe_sees_results_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(drawn(EVENTS)) == [READY]
    assert capsys.readouterr() == ("", "")


def test_a_terminal_sees_progress_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(drawn(EVENTS)) == [READY]
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "verify" in printed.err
    assert "\x1b[2Jx" not in printed.err
