"""A cluster's certificate is fresh, has a name of its own, and errors say what to do."""

from __future__ import annotations

import pytest
from tests.engine.comm.certificates import pem

from banyan.core.errors import ClusterError
from banyan.engine.comm import certificate
from banyan.engine.comm.certificate import (
    fingerprint_of_pem,
    make_certificate,
    public_part,
)


def test_each_is_another_one() -> None:
    assert fingerprint_of_pem(pem()) != fingerprint_of_pem(make_certificate())


def test_the_public_part_holds_no_key() -> None:
    assert "PRIVATE" in pem()
    assert "PRIVATE" not in public_part(pem())
    assert fingerprint_of_pem(public_part(pem())) == fingerprint_of_pem(pem())


def test_what_holds_no_certificate_is_refused() -> None:
    with pytest.raises(ValueError):
        fingerprint_of_pem("-----BEGIN PRIVATE KEY-----")


def test_without_openssl_the_remedy_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ClusterError, match="openssl") as refused:
        make_certificate()
    assert "leave --tls out" in refused.value.remedy


def test_an_openssl_that_fails_is_no_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "COMMAND", ("false",))
    with pytest.raises(ClusterError, match="No certificate could be made"):
        make_certificate()
