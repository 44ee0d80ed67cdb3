"""Who may come in: Bearer keys, sessions, and what happens to guessers."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.datastructures import Headers

from banyan.core.context import Principal
from banyan.core.errors import TooManyAttempts, Unauthenticated
from banyan.core.fakes import ManualClock
from banyan.server.access import COOKIE, MAX_SESSIONS, Access
from banyan.server.keys import KeyRing
from banyan.server.throttle import MAX_FAILURES, Throttle

HERE = "10.0.0.1"


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys.json")


@pytest.fixture
def access(ring: KeyRing) -> Access:
    return Access(ring, required=True, throttle=Throttle(ManualClock().monotonic))


def _bearer(secret: str) -> Headers:
    return Headers({"authorization": f"Bearer {secret}"})


def _cookie(token: str) -> Headers:
    return Headers({"cookie": f"other=1; {COOKIE}={token}"})


def test_on_loopback_everybody_is_the_owner_whatever_they_send(ring: KeyRing) -> None:
    access = Access(ring, required=False)
    assert access.principal(_bearer("nonsense"), HERE) == Principal()
    assert access.signed_in(Headers({}))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Basic eDp5"},
        {"authorization": "Bearer banyan-wrong"},
        {"cookie": f"{COOKIE}=wrong"},
        {"cookie": f"{COOKIE}="},
        {"cookie": "\xff;;;=;"},
    ],
)
def test_without_a_valid_key_nobody_comes_in(
    access: Access, ring: KeyRing, headers: dict[str, str]
) -> None:
    ring.add("laptop")
    with pytest.raises(Unauthenticated):
        access.principal(Headers(headers), HERE)


def test_a_bearer_key_comes_in_under_its_name(access: Access, ring: KeyRing) -> None:
    secret = ring.add("laptop")
    assert access.principal(_bearer(secret), HERE).name == "laptop"


def test_a_session_lasts_until_logout(access: Access, ring: KeyRing) -> None:
    token = access.login(ring.add("laptop"), HERE)
    assert access.signed_in(_cookie(token))
    assert access.principal(_cookie(token), HERE).name == "laptop"
    access.logout(_cookie(token))
    assert not access.signed_in(_cookie(token))


def test_a_session_ends_with_its_key(access: Access, ring: KeyRing) -> None:
    token = access.login(ring.add("laptop"), HERE)
    ring.remove("laptop")
    with pytest.raises(Unauthenticated):
        access.principal(_cookie(token), HERE)


def test_the_oldest_session_goes_when_there_are_too_many(access: Access, ring: KeyRing) -> None:
    secret = ring.add("laptop")
    first = access.login(secret, HERE)
    second = access.login(secret, HERE)
    for _ in range(MAX_SESSIONS - 1):
        access.login(secret, HERE)
    assert not access.signed_in(_cookie(first))
    assert access.signed_in(_cookie(second))


def test_a_guesser_is_locked_out_of_signing_in_even_with_the_right_key(
    access: Access, ring: KeyRing
) -> None:
    secret = ring.add("laptop")
    for _ in range(MAX_FAILURES):
        with pytest.raises(Unauthenticated):
            access.login("banyan-guess", HERE)
    with pytest.raises(TooManyAttempts):
        access.login(secret, HERE)
    access.login(secret, "10.0.0.2")


def test_wrong_bearer_keys_are_throttled_but_a_right_one_always_works(
    access: Access, ring: KeyRing
) -> None:
    secret = ring.add("laptop")
    for _ in range(MAX_FAILURES):
        with pytest.raises(Unauthenticated):
            access.principal(_bearer("banyan-guess"), HERE)
    with pytest.raises(TooManyAttempts):
        access.principal(_bearer("banyan-guess"), HERE)
    assert access.principal(_bearer(secret), HERE).name == "laptop"
