"""Questions over HTTP: events of an answer and of a refusal, searches, suggestions, traces."""

from __future__ import annotations

import json

import httpx
from tests.server.stubs import StubApp


def _events(client: httpx.Client, **body: object) -> list[dict[str, object]]:
    response = client.post("/api/ask", json={"base": "sample", "question": "what?", **body})
    lines = response.text.splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


def test_an_answer_arrives_as_its_events(client: httpx.Client) -> None:
    events = _events(client)
    assert [event["type"] for event in events] == [
        "passages_found",
        "sentence_ready",
        "answer_done",
    ]
    assert events[1]["citations"][0]["quote"] == "A banyan stands on many trunks."  # type: ignore[index] # JSON
    assert events[2]["trace_id"]


def test_a_refusal_is_an_answer_of_its_own(client: httpx.Client) -> None:
    events = _events(client, question="how far is the moon?")
    assert [event["type"] for event in events] == ["refused", "answer_done"]
    assert events[1]["refused"] is True


def test_a_follow_up_carries_its_conversation(client: httpx.Client, app: StubApp) -> None:
    first = _events(client)[-1]
    _events(client, conversation_id=first["conversation_id"], mode="extractive")
    assert app.library.asked[-1] == ("what?", first["conversation_id"])


def test_an_unknown_base_is_an_error_response(client: httpx.Client) -> None:
    response = client.post("/api/ask", json={"base": "none", "question": "what?"})
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "unknown_base"


def test_a_search_gives_passages_and_a_trace(client: httpx.Client) -> None:
    body = client.post("/api/search", json={"base": "sample", "question": "x", "k": 3}).json()
    assert [passage["id"] for passage in body["passages"]] == ["p1"]
    assert body["trace_id"]
    for wrong in (0, 101, 2.5):
        response = client.post("/api/search", json={"base": "sample", "question": "x", "k": wrong})
        assert response.status_code == 400


def test_questions_are_suggested_for_a_base_and_for_one_document(client: httpx.Client) -> None:
    assert client.get("/api/bases/sample/questions").json() == {"questions": ["What of trees?"]}
    one = client.get("/api/bases/sample/questions?document=d1").json()
    assert one == {"questions": ["What of d1?"]}


def test_a_trace_is_found_by_its_id(client: httpx.Client) -> None:
    assert client.get("/api/traces/t1").json() == {"id": "t1", "steps": []}
    assert client.get("/api/traces/none").status_code == 404
