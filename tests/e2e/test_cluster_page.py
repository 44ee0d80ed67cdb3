"""The Cluster page of a real server: the packaged model on two ranks, and one that is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from tests.e2e.conftest import CONTEXT
from tests.server.harness import Running, running

from banyan.app import App
from banyan.app.local_models import has_torch
from banyan.core.context import Context
from banyan.core.layout import ClusterOptions
from banyan.core.settings import Settings

pytestmark = [pytest.mark.models, pytest.mark.browser, pytest.mark.long]

MODEL = "smollm2-135m-instruct"
LOADS_MS = 60_000


@pytest.fixture
def server(models_home: Path, tmp_path: Path) -> Iterator[Running]:
    if not has_torch():
        pytest.skip("the extra `engine` is not installed")
    (tmp_path / "models").symlink_to(models_home / "models")
    app: Any = App(Settings(home=tmp_path, threads=1))
    options = ClusterOptions(workers=0, address="127.0.0.1", local_ranks=2)
    cluster = app.spread(MODEL, options, lambda event: None)
    try:
        cluster.wait_ready(Context())
        with running(app) as started:
            yield started
    finally:
        app.close()


@pytest.fixture
def page(chromium: Browser, server: Running) -> Iterator[Page]:
    browsing = chromium.new_context(**CONTEXT)
    page = browsing.new_page()
    page.set_default_timeout(LOADS_MS)
    page.goto(f"{server.url}/#/cluster")
    yield page
    browsing.close()


def test_two_ranks_write_are_seen_and_come_back_when_one_is_killed(
    server: Running, page: Page
) -> None:
    expect(page.locator(".rank-state")).to_have_text(["ready", "ready"])
    expect(page.locator(".page-head")).to_contain_text("30 layers is cut among 2 ranks")
    expect(page.locator("summary.sum-head").first).to_contain_text("4 KiB")
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}
    assert httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60).is_success
    expect(page.locator(".tile", has_text="Writes")).to_contain_text("tokens/s")

    (host,) = httpx.get(f"{server.url}/api/cluster").json()["cluster"]["hosts"]
    assert all(rank["rss_bytes"] > 50e6 for rank in host["ranks"])
    os.kill(host["ranks"][1]["pid"], signal.SIGKILL)
    notice = page.get_by_role("status").filter(has_text="The cluster is down")
    expect(notice).to_contain_text("Rank 1 on host head", timeout=LOADS_MS)
    expect(notice).to_contain_text("being formed again")
    expect(page.locator(".rank-state")).to_have_text(["ready", "ready"], timeout=LOADS_MS)
    expect(notice).to_have_count(0, timeout=LOADS_MS)
