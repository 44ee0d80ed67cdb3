"""The console's chat: events of a turn, and what it will not take."""

from __future__ import annotations

import json

import httpx
import pytest
from tests.server.stubs import StubApp

from banyan.core.types import Sampling

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}


def test_a_turn_arrives_as_its_events(client: httpx.Client, app: StubApp) -> None:
    body = {**CHAT, "max_tokens": 5, "temperature": 0}
    text = client.post("/api/chat", json=body).text
    events = [json.loads(line[6:]) for line in text.splitlines() if line]
    assert [event["type"] for event in events] == ["token_ready", "token_ready", "generation_done"]
    assert "".join(event.get("text", "") for event in events) == "echo: hi"
    assert events[-1]["usage"]["completion_tokens"] == 2
    assert app.chats["tiny"].sampling == [Sampling(max_tokens=5, temperature=0.0)]


@pytest.mark.parametrize(
    "change",
    [
        {"messages": []},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"temperature": 2.5},
        {"max_tokens": 0},
        {"model": ""},
    ],
)
def test_a_wrong_turn_is_refused(client: httpx.Client, change: dict[str, object]) -> None:
    assert client.post("/api/chat", json={**CHAT, **change}).status_code == 400


@pytest.mark.parametrize("name", ["nope", "/etc/passwd", "../model.gguf", "base:sample"])
def test_only_a_model_of_this_server_chats(client: httpx.Client, name: str) -> None:
    response = client.post("/api/chat", json={**CHAT, "model": name})
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "unknown_model"
