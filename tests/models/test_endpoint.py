"""An address is taken as people write it, and refused where it would surprise."""

from __future__ import annotations

import pytest

from banyan.core.errors import InputError
from banyan.models.endpoint import endpoint


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434/v1"),
        ("http://127.0.0.1:11434/", "http://127.0.0.1:11434/v1"),
        (" https://models.example/v1/ ", "https://models.example/v1"),
        ("https://models.example/openai/v1", "https://models.example/openai/v1"),
        ("http://[::1]:8000/v1/chat/completions", "http://[::1]:8000/v1"),
    ],
)
def test_the_root_of_the_api_is_found(written: str, meant: str) -> None:
    assert endpoint(written).url == meant


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("models.example", ""),
        ("file:///etc/passwd", ""),
        ("http://", ""),
        ("http://me:secret@models.example/v1", ""),
        ("http://models.example/v1?key=secret", ""),
        ("http://models.example/v1", "line\r\nX-Evil: 1"),
        ("ftp://me:secret@models.example", ""),
        ("http://models.example:abc/v1", ""),
        ("http://models.example:99999/v1", ""),
        ("http://models.example:0/v1", ""),
        ("http://[::1/v1", ""),
        ("http://mod els.example/v1", ""),
        ("http://mod\x01els.example/v1", ""),
        ("http://mod\nels.example/v1", ""),
    ],
)
def test_other_addresses_are_refused_without_repeating_a_secret(address: str, key: str) -> None:
    with pytest.raises(InputError) as caught:
        endpoint(address, key)
    assert "secret" not in str(caught.value) + caught.value.remedy
    assert "Evil" not in str(caught.value)


def test_a_key_is_not_shown_when_an_endpoint_is_printed() -> None:
    assert "sk-1" not in repr(endpoint("http://127.0.0.1:1", "sk-1"))


def test_only_this_machine_counts_as_loopback() -> None:
    assert endpoint("http://localhost:1").is_loopback
    assert endpoint("http://127.1.2.3:1").is_loopback
    assert endpoint("http://[::1]:1").is_loopback
    assert not endpoint("http://127.0.0.1.example:1").is_loopback
