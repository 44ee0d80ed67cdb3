"""What up and serve say and hand to the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cli.conftest import Runner
from tests.cli.fake_app import FakeApp
from tests.server import cluster_states

from banyan.cli import serve as serve_module
from banyan.core.cluster import ClusterStatus
from banyan.core.context import Context
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


@dataclass
class FakeCluster:
    """A cluster that is ready as soon as somebody waits for it."""

    address: str = "10.0.0.1:7946"
    token: str = "seven-trees"
    waits: int = 0

    def wait_ready(self, context: Context) -> None:
        self.waits += 1

    def status(self) -> ClusterStatus:
        return cluster_states.of(1, 1)


def test_up_runs_the_packaged_model_on_several_machines_without_waiting_for_them(
    run: Runner, app: FakeApp, served: list[dict[str, object]]
) -> None:
    app.cluster = FakeCluster()
    shown = run("up", "--workers", "1", "--token", "seven-trees", "--cluster-port", "7000")
    ((model, options),) = app.spread_models
    assert model == "smollm2-135m-instruct"
    assert (options.workers, options.port, options.token) == (1, 7000, "seven-trees")
    assert "banyan join 10.0.0.1:7946 --token seven-trees" in shown.err
    assert app.cluster.waits == 0
    assert served[0]["mode"] == "all"


def test_up_spreads_the_model_that_is_named(
    run: Runner, app: FakeApp, served: list[dict[str, object]]
) -> None:
    app.cluster = FakeCluster()
    run("up", "--local-ranks", "2", "--model", "big")
    ((model, options),) = app.spread_models
    assert (model, options.local_ranks, options.workers) == ("big", 2, 0)


def test_up_refuses_a_model_for_several_machines_where_there_is_one(
    run: Runner, app: FakeApp, served: list[dict[str, object]]
) -> None:
    shown = run("up", "--model", "big")
    assert shown.code == 2
    assert "--workers" in shown.err
    assert served == []


def test_serve_waits_for_the_machines_before_it_listens(
    run: Runner, app: FakeApp, served: list[dict[str, object]]
) -> None:
    app.cluster = FakeCluster()
    shown = run("serve", "tiny", "--workers", "1")
    assert app.cluster.waits == 1
    assert "2 machines run tiny as tp2." in shown.err


def test_a_memory_budget_is_read_in_words(
    run: Runner, app: FakeApp, served: list[dict[str, object]]
) -> None:
    assert run("serve", "tiny", "--device-memory", "6GiB", "--host-memory", "16 GB").code == 0
    assert app.settings.device_memory_bytes == 6 << 30
    assert app.settings.host_memory_bytes == 16_000_000_000


def test_what_is_no_amount_of_memory_is_refused(run: Runner, app: FakeApp) -> None:
    shown = run("serve", "tiny", "--device-memory", "lots")
    assert shown.code == 2
    assert "such as 8GiB" in shown.err
