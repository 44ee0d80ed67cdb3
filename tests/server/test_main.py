"""The list of routes, and what every one of them has in common."""

from __future__ import annotations

import httpx


def test_health_answers_without_anything(client: httpx.Client) -> None:
    assert client.get("/api/health").json()["status"] == "ok"
