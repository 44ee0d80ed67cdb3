"""One cluster's certificate, made once for all tests that need any."""

from __future__ import annotations

import functools
import shutil

import pytest

from banyan.engine.comm.certificate import make_certificate


@functools.cache
def pem() -> str:
    """A key and its certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("TLS needs the command openssl")
    return make_certificate()
