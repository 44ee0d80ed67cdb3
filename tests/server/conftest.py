"""What the server's tests share: a stub app, a server on a port, a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.server.harness import Running, all_ended, running
from tests.server.stubs import StubApp

from banyan.core.settings import Settings


@pytest.fixture(scope="session", autouse=True)
def _every_server_ends() -> Iterator[None]:
    yield
    assert all_ended()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path / "home", port=0, max_body_bytes=100_000, max_upload_bytes=300_000
    )


@pytest.fixture
def app(settings: Settings) -> StubApp:
    return StubApp(settings)


@pytest.fixture
def server(app: StubApp) -> Iterator[Running]:
    with running(app) as started:
        yield started


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    """A client of the running server that is no browser."""
    with httpx.Client(base_url=server.url, timeout=10, trust_env=False) as opened:
        yield opened
