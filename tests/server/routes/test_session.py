"""Signing in and out over HTTP: cookie flags, guesses, what is open."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from tests.server.harness import Running, running
from tests.server.stubs import StubApp

from banyan.server.keys import KeyRing
from banyan.server.throttle import MAX_FAILURES


@pytest.fixture
def locked(app: StubApp) -> Iterator[Running]:
    with running(app, allowed_hosts="box.example") as started:
        yield started


@pytest.fixture
def secret(app: StubApp) -> str:
    return KeyRing(app.settings.home / "keys.json").add("laptop")


def _login(server: Running, key: str, **headers: str) -> httpx.Response:
    return httpx.post(
        server.url + "/api/login", json={"key": key}, headers=headers, trust_env=False
    )


def test_on_loopback_everybody_is_signed_in(client: httpx.Client) -> None:
    session = client.get("/api/session").json()
    assert session == {"keys_required": False, "signed_in": True, "version": session["version"]}
    response = client.post("/api/login", json={"key": "anything"})
    assert response.json() == {"signed_in": True}
    assert "set-cookie" not in response.headers


def test_signing_in_and_out(locked: Running, secret: str) -> None:
    with httpx.Client(base_url=locked.url, trust_env=False) as client:
        assert client.get("/api/session").json()["signed_in"] is False
        assert client.get("/api/bases").status_code == 401
        assert client.post("/api/login", json={"key": secret}).status_code == 200
        assert client.get("/api/session").json()["signed_in"] is True
        assert client.get("/api/bases").status_code == 200
        cookie = client.cookies["banyan_session"]
        assert client.post("/api/logout", json={}).status_code == 200
        assert client.get("/api/bases").status_code == 401
        stolen = {"cookie": f"banyan_session={cookie}"}
        assert client.get("/api/bases", headers=stolen).status_code == 401


def test_the_cookie_is_closed_to_scripts_and_other_sites(locked: Running, secret: str) -> None:
    cookie = _login(locked, secret).headers["set-cookie"]
    flags = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= flags
    assert "secure" not in flags
    assert secret not in cookie
    behind_https = _login(locked, secret, **{"x-forwarded-proto": "https"})
    assert "secure" in behind_https.headers["set-cookie"].lower()


def test_a_cookie_does_not_make_a_foreign_page_ours(locked: Running, secret: str) -> None:
    token = _login(locked, secret).cookies["banyan_session"]
    response = httpx.post(
        locked.url + "/api/bases",
        json={"id": "x", "title": "x"},
        headers={"cookie": f"banyan_session={token}", "origin": "http://evil.example"},
        trust_env=False,
    )
    assert response.status_code == 403


def test_guessing_keys_ends_in_a_lockout(locked: Running, secret: str) -> None:
    for _ in range(MAX_FAILURES):
        assert _login(locked, "banyan-guess").status_code == 401
    refused = _login(locked, secret)
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "too_many_attempts"
    assert int(refused.headers["retry-after"]) > 0


def test_a_guesser_cannot_pretend_to_come_from_elsewhere(app: StubApp) -> None:
    with running(app, allowed_hosts="box.example", host="127.0.0.1") as server:
        for number in range(MAX_FAILURES + 1):
            last = httpx.post(
                server.url + "/api/login",
                json={"key": "banyan-guess"},
                headers={"forwarded": f"for=10.0.0.{number}", "x-real-ip": f"10.0.0.{number}"},
                trust_env=False,
            )
    assert last.status_code == 429


def test_a_key_with_the_right_prefix_only_is_refused(locked: Running, secret: str) -> None:
    for wrong in (secret[:-1], secret + "x", secret.upper(), " "):
        assert _login(locked, wrong).status_code in (400, 401)


def test_health_says_nothing_but_that_it_is_well(locked: Running) -> None:
    response = httpx.get(locked.url + "/api/health", trust_env=False)
    assert set(response.json()) == {"status", "version"}
