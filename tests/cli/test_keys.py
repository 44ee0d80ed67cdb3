"""Keys are shown once and listed without their secrets."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Runner

from banyan.server.keys import KeyRing


def test_a_keys_life(run: Runner, home: Path) -> None:
    assert run("keys", "list").out == "There are no keys.\n"
    made = run("keys", "add", "laptop")
    secret = made.out.strip()
    ring = KeyRing(home / "keys.json")
    assert ring.match(secret) is not None
    assert "Shown this once" in made.err
    listed = run("keys", "list").out
    assert "laptop" in listed
    assert secret not in listed
    assert run("keys", "list", "--json").json["keys"][0]["name"] == "laptop"
    assert run("keys", "remove", "laptop").out == "Removed laptop.\n"
    assert ring.match(secret) is None
    assert run("keys", "remove", "laptop").code == 3


def test_a_key_as_json_is_for_scripts(run: Runner, home: Path) -> None:
    body = run("keys", "add", "ci", "--json").json
    assert KeyRing(home / "keys.json").match(body["key"]) is not None
