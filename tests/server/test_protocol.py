"""The bounds of one connection: a head in time, a reader that reads, not too many at once."""

from __future__ import annotations

import json
import socket
import time

import httpx
import pytest
from tests.server.harness import Running, head, read_all, running
from tests.server.stubs import EndlessModel, StubApp

from banyan.server import protocol


def test_a_connection_that_sends_no_whole_head_is_closed(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.3)
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        assert read_all(connection) == b""
    assert time.monotonic() - started < 2


def test_a_later_head_on_the_same_connection_has_no_more_time(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.3)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(65536)
        started = time.monotonic()
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        assert read_all(connection) == b""
    assert time.monotonic() - started < 2


def test_a_connection_that_sent_its_head_is_left_alone(
    app: StubApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.1)
    with running(app) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        assert client.get("/api/health").status_code == 200
        time.sleep(0.3)
        assert client.get("/api/health").status_code == 200


def test_a_client_that_never_reads_is_cut_and_its_work_stopped(
    server: Running, app: StubApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "STALL_TIMEOUT_S", 0.3)
    model = app.chats["flood"] = EndlessModel(pause_s=0, text="word " * 10_000)
    body = json.dumps({"model": "flood", "messages": [{"role": "user", "content": "x"}]}).encode()
    request = head(
        "POST", "/api/chat", "Content-Type: application/json", f"Content-Length: {len(body)}"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(request + body)
        assert model.cancelled.wait(10)


def test_one_connection_too_many_is_refused_and_the_others_go_on(app: StubApp) -> None:
    with running(app, max_connections=3) as server:
        idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
        time.sleep(0.1)
        with pytest.raises(httpx.HTTPError):
            httpx.get(server.url + "/api/health", trust_env=False)
        idle.pop().close()
        time.sleep(0.1)
        assert httpx.get(server.url + "/api/health", trust_env=False).status_code == 200
        for connection in idle:
            connection.close()
