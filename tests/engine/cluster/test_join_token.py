"""The token of an installation stays the same, and its owner's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from banyan.engine.cluster.join_token import FILE, kept_token


def test_it_is_the_same_at_the_next_start_and_another_elsewhere(tmp_path: Path) -> None:
    token = kept_token(tmp_path / "one")
    assert len(token) >= 32
    assert kept_token(tmp_path / "one") == token
    assert kept_token(tmp_path / "other") != token


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    kept_token(tmp_path)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("damaged", [b"", b"short\n", b"\xff\xfe\x00"])
def test_a_damaged_one_is_replaced(tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / FILE).write_bytes(damaged)
    assert len(kept_token(tmp_path)) >= 32
