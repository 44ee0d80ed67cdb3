"""Bases over HTTP."""

from __future__ import annotations

import httpx


def test_a_base_is_created_listed_and_removed(client: httpx.Client) -> None:
    made = client.post("/api/bases", json={"id": "team", "title": "团队"})
    assert made.status_code == 201
    assert made.json()["title"] == "团队"
    ids = [base["id"] for base in client.get("/api/bases").json()["bases"]]
    assert ids == ["sample", "team"]
    assert client.delete("/api/bases/team").json() == {"removed": "team"}
    assert client.delete("/api/bases/team").status_code == 404


def test_a_base_that_exists_is_a_conflict(client: httpx.Client) -> None:
    response = client.post("/api/bases", json={"id": "sample", "title": "x"})
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "conflict"
