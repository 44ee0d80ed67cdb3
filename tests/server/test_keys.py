"""Keys are shown once, kept as hashes, and shared between processes through one file."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from banyan.core.errors import InputError, NotFound, StoreError
from banyan.server.keys import KeyRing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "keys.json"


def test_a_key_matches_itself_and_nothing_else(path: Path) -> None:
    ring = KeyRing(path)
    secret = ring.add("laptop")
    found = ring.match(secret)
    assert found is not None
    assert found.name == "laptop"
    for wrong in ("", secret[:-1], secret + "x", found.sha256, found.id, "x" * 10_000, "\ud800"):
        assert ring.match(wrong) is None


def test_the_file_holds_no_key_and_only_its_owner_may_read_it(path: Path) -> None:
    secret = KeyRing(path).add("laptop")
    assert secret not in path.read_text()
    assert secret.removeprefix("banyan-") not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_keys_have_256_random_bits(path: Path) -> None:
    ring = KeyRing(path)
    secrets = {ring.add(f"key {number}") for number in range(20)}
    assert len(secrets) == 20
    assert all(len(secret.removeprefix("banyan-")) == 43 for secret in secrets)


def test_a_running_server_sees_what_another_process_adds_and_removes(path: Path) -> None:
    server, command = KeyRing(path), KeyRing(path)
    assert server.match("banyan-x") is None
    secret = command.add("laptop")
    found = server.match(secret)
    assert found is not None
    command.remove(found.id)
    assert server.match(secret) is None
    assert not server.has(found.id)


def test_removing_a_key_that_is_not_there_says_so(path: Path) -> None:
    with pytest.raises(NotFound):
        KeyRing(path).remove("nothing")


def test_keys_added_at_the_same_time_are_all_kept(path: Path) -> None:
    threads = [
        threading.Thread(target=KeyRing(path).add, args=(f"key {number}",)) for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(KeyRing(path).keys()) == 8


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101])
def test_a_name_is_short_and_printable(path: Path, name: str) -> None:
    with pytest.raises(InputError):
        KeyRing(path).add(name)


@pytest.mark.parametrize("text", ["", "[]", '{"keys": [{"id": "x"}]}', '{"keys": 3}', "\xff"])
def test_a_broken_file_is_reported_and_lets_nobody_in(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(StoreError):
        KeyRing(path).match("banyan-x")
