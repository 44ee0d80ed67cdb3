"""Jobs as a list and as a stream of changes."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from tests.server.harness import Running
from tests.server.stubs import StubApp

from banyan.core.context import Context
from banyan.server.routes import jobs


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "POLL_S", 0.02)
    monkeypatch.setattr(jobs, "IDLE_POLL_S", 0.02)


def _enqueue(app: StubApp, name: str) -> None:
    app.library.enqueue(app.settings.home / name, "sample", Context(), name=name)


def _lists(response: httpx.Response) -> Iterator[list[dict[str, object]]]:
    for line in response.iter_lines():
        if line.startswith("data: "):
            event = json.loads(line[6:])
            assert event["type"] == "jobs"
            yield event["jobs"]


def test_jobs_are_listed(client: httpx.Client, app: StubApp) -> None:
    _enqueue(app, "a.txt")
    [job] = client.get("/api/bases/sample/jobs").json()["jobs"]
    assert job["path"] == "a.txt"
    assert client.get("/api/bases/none/jobs").status_code == 404


def test_watchers_hear_the_state_at_once_and_every_change_once(
    client: httpx.Client, app: StubApp
) -> None:
    with client.stream("GET", "/api/bases/sample/jobs/events") as response:
        lists = _lists(response)
        assert next(lists) == []
        _enqueue(app, "a.txt")
        assert [job["state"] for job in next(lists)] == ["waiting"]
        app.library.queued[0] = replace(app.library.queued[0], state="done")
        assert [job["state"] for job in next(lists)] == ["done"]


def test_watching_no_base_is_an_error_response(client: httpx.Client) -> None:
    response = client.get("/api/bases/none/jobs/events")
    assert response.status_code == 404


def test_watchers_are_bounded_and_forgotten_when_they_leave(
    server: Running, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "MAX_WATCHERS", 2)
    request = b"GET /api/bases/sample/jobs/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    watching = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
    for connection in watching:
        connection.sendall(request)
        assert b"200 OK" in connection.recv(65536)
    assert client.get("/api/bases/sample/jobs/events").status_code == 503
    for connection in watching:
        connection.close()
    for _ in range(200):
        if not server.site.watchers:
            break
        time.sleep(0.01)
    assert not server.site.watchers


def test_the_server_stops_while_jobs_are_watched(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b"GET /api/bases/sample/jobs/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in connection.recv(65536)
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 2
