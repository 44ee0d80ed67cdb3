"""The System page's facts."""

from __future__ import annotations

import httpx

from banyan.core.settings import Settings
from banyan.server.routes.status import limits


def test_the_status_has_what_the_console_shows(client: httpx.Client) -> None:
    status = client.get("/api/status").json()
    assert status["engine"] == {"state": "idle"}
    assert status["limits"]["max_upload_bytes"] == 300_000
    assert status["snippet"]["base_url"] == f"{str(client.base_url).rstrip('/')}/v1"
    assert status["snippet"]["key_needed"] is False
    assert [base["id"] for base in status["bases"]] == ["sample"]


def test_no_path_of_the_machine_is_among_the_limits() -> None:
    assert "home" not in limits(Settings())
    assert limits(Settings())["max_streams"] == 64
