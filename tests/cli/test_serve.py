"""What up and serve say and hand to the server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Runner
from tests.cli.fake_app import FakeApp

from banyan.cli import serve as serve_module
from banyan.server import main as server_main
from banyan.server.main import Address


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Serving ends at once; what was asked of the server is kept."""
    calls: list[dict[str, object]] = []

    def fake(app: FakeApp, *, ready: Callable[[Address], None], **options: object) -> None:
        calls.append({"port": app.settings.port, "host": app.settings.host, **options})
        ready(Address(url=f"http://127.0.0.1:{app.settings.port}", new_key="banyan-1"))

    monkeypatch.setattr(server_main, "serve", fake)
    return calls


def test_up_says_what_it_resolved(
    run: Runner, app: FakeApp, home: Path, served: list[dict[str, object]]
) -> None:
    shown = run("up", "--port", "9001")
    assert shown.code == 0
    assert served == [{"port": 9001, "host": "127.0.0.1", "mode": "all", "model": None}]
    assert shown.out.splitlines() == [
        "address  http://127.0.0.1:9001",
        "models   tiny",
        "answers  quoted sentences",
        "bases    main",
        f"home     {home}",
        "key      banyan-1",
    ]
    assert "shown this once" in shown.err
    assert "→ banyan models pull --embedded" in shown.err
    assert app.worker_started
    assert app.warm
    assert app.closed == 1


def test_up_goes_on_without_the_engine_and_says_so(
    run: Runner,
    app: FakeApp,
    served: list[dict[str, object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serve_module.importlib.util, "find_spec", lambda name: None)
    shown = run("up")
    assert shown.code == 0
    assert "pip install 'banyan-llm[engine]'" in shown.err
    assert len(served) == 1


def test_up_as_json_is_one_line_for_whoever_started_it(
    run: Runner, app: FakeApp, served: list[dict[str, object]]
) -> None:
    (line,) = run("up", "--json").lines
    assert line["address"] == "http://127.0.0.1:8080"
    assert line["key"] == "banyan-1"


def test_a_browser_is_opened_only_when_asked(
    run: Runner,
    app: FakeApp,
    served: list[dict[str, object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(serve_module.webbrowser, "open", opened.append)
    run("up")
    assert opened == []
    run("up", "--open")
    assert opened == ["http://127.0.0.1:8080"]


def test_serve_offers_one_model_on_v1_alone(
    run: Runner, app: FakeApp, served: list[dict[str, object]]
) -> None:
    shown = run("serve", "tiny", "--host", "127.0.0.1")
    assert "http://127.0.0.1:8080/v1" in shown.out
    assert served[0]["mode"] == "v1"
    assert served[0]["model"] == "tiny"
    assert not app.worker_started


def test_an_unknown_model_is_an_error_before_anything_listens(
    run: Runner, app: FakeApp, served: list[dict[str, object]]
) -> None:
    assert run("serve", "nobody").code == 3
    assert served == []
