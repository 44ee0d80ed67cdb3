"""Event streams over a real connection: leaving, heartbeats, early and late errors, the end."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from tests.server.harness import Running, head, running
from tests.server.stubs import BlockedModel, EndlessModel, StubApp

from banyan.core.context import Context
from banyan.core.errors import ContextTooLong, EngineFailed
from banyan.core.events import Event, TokenReady
from banyan.server import sse
from banyan.server.sse import frame

CHAT = {"model": "endless", "messages": [{"role": "user", "content": "go on"}]}
ASK = {"base": "sample", "question": "what?"}


def _events(response: httpx.Response) -> Iterator[dict[str, object]]:
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line[6:])


def _answer_of(*events: Event | Exception) -> object:
    def answer(context: Context) -> Iterator[Event]:
        for event in events:
            if isinstance(event, Exception):
                raise event
            yield event

    return answer


@pytest.fixture
def endless(app: StubApp) -> EndlessModel:
    model = EndlessModel()
    app.chats["endless"] = model
    return model


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_a_client_that_leaves_stops_its_work_within_one_step(
    client: httpx.Client, endless: EndlessModel, path: str
) -> None:
    body = CHAT if path == "/api/chat" else {**CHAT, "stream": True}
    with client.stream("POST", path, json=body) as response:
        events = _events(response)
        next(events)
        assert not endless.cancelled.is_set()
        left = time.monotonic()
    assert endless.cancelled.wait(2)
    assert time.monotonic() - left < 1


def test_a_client_that_leaves_a_plain_request_stops_its_work_too(
    server: Running, endless: EndlessModel
) -> None:
    body = json.dumps(CHAT).encode()
    request = head(
        "POST",
        "/v1/chat/completions",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(request + body)
        assert endless.started.wait(2)
    assert endless.cancelled.wait(2)


def test_an_error_before_the_first_event_is_an_error_response(
    client: httpx.Client, app: StubApp
) -> None:
    app.library.answer = _answer_of(ContextTooLong("too long"))  # type: ignore[assignment] # a stub
    response = client.post("/api/ask", json=ASK)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_too_long"


def test_an_error_after_the_first_event_is_the_last_event(
    client: httpx.Client, app: StubApp
) -> None:
    app.library.answer = _answer_of(  # type: ignore[assignment] # a stub
        TokenReady(text="x"), EngineFailed("it broke", remedy="mend it")
    )
    with client.stream("POST", "/api/ask", json=ASK) as response:
        events = list(_events(response))
    assert response.status_code == 200
    assert events[-1] == {
        "type": "failed",
        "code": "engine_failed",
        "message": "it broke",
        "remedy": "mend it",
    }


def test_the_headers_keep_proxies_and_caches_from_holding_events_back(
    client: httpx.Client,
) -> None:
    with client.stream("POST", "/api/ask", json=ASK) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-accel-buffering"] == "no"
        list(_events(response))


def test_silence_is_filled_with_heartbeats_and_a_late_start_is_still_a_stream(
    client: httpx.Client, app: StubApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "START_WAIT_S", 0.05)
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.05)
    model = BlockedModel()
    app.chats["blocked"] = model
    lines: list[str] = []
    with client.stream("POST", "/api/chat", json={**CHAT, "model": "blocked"}) as response:
        for line in response.iter_lines():
            lines.append(line)
            if lines.count(": still working") == 2:
                model.go.set()
    assert json.loads(lines[-2].removeprefix("data: "))["type"] == "generation_done"


def test_health_answers_while_every_stream_is_blocked(app: StubApp) -> None:
    model = BlockedModel()
    app.chats["blocked"] = model
    with (
        running(app, max_streams=2) as server,
        httpx.Client(base_url=server.url, trust_env=False) as client,
    ):
        body = {**CHAT, "model": "blocked"}
        askers = [
            threading.Thread(
                target=httpx.post, args=(server.url + "/api/chat",), kwargs={"json": body}
            )
            for _ in range(2)
        ]
        for asker in askers:
            asker.start()
        while server.site.streams.pending < 2:
            time.sleep(0.01)
        assert min(_seconds_of_health(client) for _ in range(5)) < 0.1
        assert client.get("/api/bases").status_code == 200
        refused = client.post("/api/chat", json=body)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "2"
        assert refused.json()["error"]["code"] == "overloaded"
        assert "max_streams = 2" in refused.json()["error"]["message"]
        model.go.set()
        for asker in askers:
            asker.join(5)


def _seconds_of_health(client: httpx.Client) -> float:
    started = time.monotonic()
    assert client.get("/api/health").status_code == 200
    return time.monotonic() - started


def test_a_reader_that_stalls_does_not_hold_up_another(
    server: Running, client: httpx.Client, app: StubApp
) -> None:
    app.chats["flood"] = EndlessModel(pause_s=0)
    body = json.dumps({**CHAT, "model": "flood"}).encode()
    request = head(
        "POST", "/api/chat", "Content-Type: application/json", f"Content-Length: {len(body)}"
    )
    with socket.create_connection(("127.0.0.1", server.port)) as stalled:
        stalled.sendall(request + body)
        time.sleep(0.3)
        started = time.monotonic()
        scripted = {**CHAT, "model": "scripted"}
        with client.stream("POST", "/api/chat", json=scripted) as response:
            assert list(_events(response))[-1]["type"] == "generation_done"
        assert time.monotonic() - started < 1
    assert app.chats["flood"].cancelled.wait(3)


def test_a_frame_is_one_line_whatever_the_text_holds() -> None:
    data = frame({"text": "a\nb\r\n\ndata: forged\u2028", "lone": "\ud800"})
    assert data.count(b"\n") == 2
    assert data.endswith(b"\n\n")
    assert json.loads(data[6:])["text"] == "a\nb\r\n\ndata: forged\u2028"


def test_stopping_the_server_tells_open_streams_and_ends_quickly(
    server: Running, endless: EndlessModel
) -> None:
    seen: list[dict[str, object]] = []

    def read() -> None:
        with (
            contextlib.suppress(httpx.HTTPError),
            httpx.stream("POST", server.url + "/api/chat", json=CHAT, trust_env=False) as response,
        ):
            seen.extend(_events(response))

    reader = threading.Thread(target=read)
    reader.start()
    assert endless.started.wait(2)
    started = time.monotonic()
    server.stop()
    assert time.monotonic() - started < 3
    reader.join(2)
    assert seen[-1]["type"] == "failed"
    assert seen[-1]["code"] == "shutting_down"
    assert endless.cancelled.wait(1)
