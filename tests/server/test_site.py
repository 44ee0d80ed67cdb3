"""A request's short work: its answer, its deadline, its client."""

from __future__ import annotations

import json
import socket
import threading
import time

import httpx
from tests.server.harness import Running, head, running
from tests.server.stubs import StubApp

from banyan.core.context import Context
from banyan.core.types import Passage


class _Slow:
    """A search that works until it is told to stop."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.ended = threading.Event()

    def __call__(self, question: str, base_id: str, context: Context, *, k: int) -> list[Passage]:
        self.started.set()
        try:
            while True:
                context.check()
                time.sleep(0.01)
        finally:
            self.ended.set()


def test_a_search_whose_client_leaves_is_stopped(server: Running, app: StubApp) -> None:
    slow = _Slow()
    app.library.search = slow  # type: ignore[method-assign,assignment] # a stub
    body = json.dumps({"base": "sample", "question": "x"}).encode()
    request = head(
        "POST", "/api/search", "Content-Type: application/json", f"Content-Length: {len(body)}"
    )
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(request + body)
        assert slow.started.wait(2)
    assert slow.ended.wait(2)


def test_work_past_its_deadline_is_a_timeout(app: StubApp) -> None:
    slow = _Slow()
    app.library.search = slow  # type: ignore[method-assign,assignment] # a stub
    with running(app, request_timeout_s=0.2) as server:
        response = httpx.post(
            server.url + "/api/search", json={"base": "sample", "question": "x"}, trust_env=False
        )
    assert response.status_code == 504
    assert response.json()["error"]["code"] == "deadline_exceeded"
    assert slow.ended.wait(1)
