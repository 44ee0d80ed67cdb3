"""The list of routes: what every one of them has in common, and that it is the documented one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from tests.server.harness import build
from tests.server.stubs import StubApp

from banyan.core.settings import Settings
from banyan.server.main import ROUTES, keys_required

CONTRACT = Path(__file__).parents[2] / "docs" / "reference" / "http.md"
OPEN = {"/", "/api/health", "/api/session", "/api/login"}


def _listed() -> list[tuple[str, str]]:
    pairs = []
    for route in ROUTES:
        if isinstance(route, Mount):
            pairs.append(("GET", route.path + "/{path}"))
        elif isinstance(route, Route):
            path = re.sub(r":path", "", route.path)
            pairs += [(method, path) for method in (route.methods or ()) if method != "HEAD"]
    return pairs


def _ask(client: TestClient, method: str, path: str) -> Any:
    filled = re.sub(r"\{\w+\}", "nothing-here", path)
    media = "application/octet-stream" if method == "PUT" else "application/json"
    body = b"[" if method in ("POST", "PUT") else None
    return client.request(method, filled, content=body, headers={"content-type": media})


def _assert_failure(path: str, response: Any) -> None:
    error = response.json()["error"]
    wanted = (
        {"message", "type", "param", "code"}
        if path.startswith("/v1")
        else {"code", "message", "remedy"}
    )
    assert set(error) == wanted
    assert error["message"]


@pytest.fixture
def client(app: StubApp) -> TestClient:
    return TestClient(build(app), base_url="http://localhost", raise_server_exceptions=False)


def test_the_contract_lists_exactly_the_routes_there_are() -> None:
    documented = re.findall(r"^### ([A-Z]+) (/\S*)$", CONTRACT.read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(_listed())


@pytest.mark.parametrize(("method", "path"), _listed())
def test_every_route_fails_in_one_shape(client: TestClient, method: str, path: str) -> None:
    response = _ask(client, method, path)
    if response.status_code >= 400:
        _assert_failure(path, response)
    assert response.status_code < 500


@pytest.mark.parametrize(("method", "path"), _listed())
def test_every_route_fails_in_one_shape_when_banyan_itself_breaks(
    app: StubApp, method: str, path: str
) -> None:
    app.library = app.store = app.connections = None  # type: ignore[assignment] # breaks everything
    app.chats = app.models = None  # type: ignore[method-assign,assignment] # breaks everything
    broken = TestClient(build(app), base_url="http://localhost", raise_server_exceptions=False)
    response = _ask(broken, method, path)
    if response.status_code >= 400:
        _assert_failure(path, response)
        assert "NoneType" not in response.text


@pytest.mark.parametrize(("method", "path"), _listed())
def test_every_route_but_the_open_ones_demands_a_key_away_from_loopback(
    app: StubApp, method: str, path: str
) -> None:
    away = TestClient(build(app, host="0.0.0.0"), base_url="http://10.0.0.7:8080")
    status = _ask(away, method, path).status_code
    if path in OPEN or path.startswith("/static/"):
        assert status != 401
    else:
        assert status == 401


@pytest.mark.parametrize(("method", "path"), _listed())
def test_every_answer_carries_the_security_headers(
    client: TestClient, method: str, path: str
) -> None:
    headers = _ask(client, method, path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] in ("no-store", "no-cache")
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("path", ["/nowhere", "/api/nowhere", "/v1/nowhere", "/api/ask"])
def test_an_unknown_address_or_method_fails_in_the_same_shape(
    client: TestClient, path: str
) -> None:
    response = client.get(path)
    assert response.status_code in (404, 405)
    _assert_failure(path, response)


def test_serving_one_model_mounts_v1_and_health_alone(app: StubApp) -> None:
    from banyan.server.main import build_app

    application = build_app(app, app.settings, mode="v1", model="tiny")  # type: ignore[arg-type] # a stub
    client = TestClient(application, base_url="http://localhost")
    assert client.get("/api/health").status_code == 200
    assert client.get("/").status_code == 404
    assert client.get("/api/status").status_code == 404
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["tiny"]
    body = {"model": "scripted", "messages": [{"role": "user", "content": "hi"}]}
    assert client.post("/v1/chat/completions", json=body).status_code == 404
    body["model"] = "base:sample"
    assert client.post("/v1/chat/completions", json=body).status_code == 404


def test_the_console_is_served_with_its_files(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["cache-control"] == "no-cache"
    assert client.get("/static/index.html").status_code == 200
    assert client.get("/static/../main.py").status_code == 404
    assert client.get("/static/%2e%2e/main.py").status_code == 404
    assert client.get("/static/..%2fmain.py").status_code == 404


@pytest.mark.parametrize(
    ("host", "allowed", "required"),
    [
        ("127.0.0.1", "", False),
        ("localhost", "", False),
        ("::1", "", False),
        ("127.0.0.1", "localhost", False),
        ("127.0.0.1", "banyan.example.org", True),
        ("0.0.0.0", "", True),
        ("::", "", True),
        ("", "", True),
        ("192.168.1.5", "", True),
        ("box.lan", "", True),
    ],
)
def test_a_key_is_demanded_wherever_others_may_reach_the_server(
    host: str, allowed: str, required: bool
) -> None:
    assert keys_required(Settings(host=host, allowed_hosts=allowed)) is required
