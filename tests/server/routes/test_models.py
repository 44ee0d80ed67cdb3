"""Models over HTTP: the shelf, pulling, connecting, choosing, removing."""

from __future__ import annotations

import json

import httpx
from tests.server.stubs import StubApp


def test_the_shelf_shows_what_is_here_and_what_could_be(client: httpx.Client) -> None:
    shelf = client.get("/api/models").json()
    assert {"tiny", "hash-64", "base:sample"} <= {model["name"] for model in shelf["models"]}
    assert shelf["answer_model"] == ""
    assert shelf["connections"] == []
    offer = next(entry for entry in shelf["catalogue"] if entry["name"].startswith("smollm2"))
    assert offer["licence"]
    assert offer["size_bytes"] > 0


def test_a_pull_reports_its_progress(client: httpx.Client) -> None:
    response = client.post("/api/models/pull", json={"name": "tiny"})
    events = [json.loads(line[6:]) for line in response.text.splitlines() if line]
    assert [event["type"] for event in events] == ["progress", "model_ready"]
    assert client.post("/api/models/pull", json={"name": "nope"}).status_code == 404


def test_a_connection_is_tried_and_its_key_never_comes_back(client: httpx.Client) -> None:
    body = {"url": "http://127.0.0.1:9/v1", "key": "secret", "model": "big"}
    response = client.post("/api/models/connect", json=body)
    assert response.json()["sample"] == "Hi."
    assert "secret" not in response.text


def test_local_servers_are_looked_for_when_asked(client: httpx.Client) -> None:
    found = client.post("/api/models/discover", json={}).json()["found"]
    assert found == [{"url": "http://127.0.0.1:11434/v1", "models": ["big"]}]


def test_the_model_that_answers_is_chosen_by_its_name_and_never_by_a_path(
    client: httpx.Client,
) -> None:
    chosen = client.post("/api/models/answer", json={"name": "tiny"})
    assert chosen.json() == {"answer_model": "tiny"}
    assert client.get("/api/models").json()["answer_model"] == "tiny"
    for wrong in ("nope", "/etc/passwd", "./x.gguf", "hash-64"):
        assert client.post("/api/models/answer", json={"name": wrong}).status_code in (400, 404)
    assert client.post("/api/models/answer", json={"name": ""}).json() == {"answer_model": ""}


def test_a_model_is_removed_once(client: httpx.Client, app: StubApp) -> None:
    assert client.delete("/api/models/tiny").json() == {"removed": "tiny"}
    assert app.store.removed == ["tiny"]
    assert client.delete("/api/models/nope").status_code == 404
