"""Chromium, and a page of the console on the stub server that must stay without fault."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright
from tests.conftest import skip_or_fail
from tests.e2e.console_stub import Shop, build_stub

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


CONTEXT: dict[str, Any] = {
    "viewport": {"width": 1280, "height": 800},
    "locale": "en-US",
    "reduced_motion": "reduce",
}


@dataclass
class Console:
    """An open console: its page, the stub behind it, and what went wrong so far."""

    page: Page
    shop: Shop
    url: str
    faults: list[str] = field(default_factory=list)

    def open(self, name: str) -> Page:
        self.page.goto(f"{self.url}/#/{name}")
        self.page.wait_for_selector(f'.nav-link[data-page="{name}"][aria-current]')
        return self.page

    def ask(self, question: str) -> Page:
        self.page.locator("textarea.composer-field").fill(question)
        self.page.keyboard.press("Enter")
        return self.page


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        skip_or_fail("browser", "Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def serve_stub(shop: Shop) -> Iterator[str]:
    """The stub on a free port, in a thread of its own; yields its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            build_stub(shop), log_level="critical", timeout_graceful_shutdown=0, lifespan="off"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


def _watch(console: Console) -> None:
    """Keep every script error, console error and request to another origin."""
    page, faults = console.page, console.faults
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on(
        "console",
        lambda message: (
            faults.append(f"console: {message.text}")
            if message.type in ("error", "warning")
            and "Failed to load resource" not in message.text
            else None
        ),
    )
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith(console.url) else faults.append(f"to {request.url}")
        ),
    )


OpenConsole = Callable[..., Console]


@contextmanager
def opening(chromium: Browser) -> Iterator[OpenConsole]:
    """Open consoles; at the end none of them may have had a fault."""
    opened: list[Console] = []
    with ExitStack() as stack:

        def open_one(shop: Shop | None = None, **context: Any) -> Console:
            shop = shop or Shop()
            url = stack.enter_context(serve_stub(shop))
            browsing = chromium.new_context(**{**CONTEXT, **context})
            stack.callback(browsing.close)
            page = browsing.new_page()
            page.set_default_timeout(8000)
            console = Console(page=page, shop=shop, url=url)
            _watch(console)
            opened.append(console)
            page.goto(url)
            return console

        yield open_one
        faults = [fault for console in opened for fault in console.faults]
    assert faults == []


@pytest.fixture
def open_console(chromium: Browser) -> Iterator[OpenConsole]:
    with opening(chromium) as open_one:
        yield open_one


@pytest.fixture
def console(open_console: OpenConsole) -> Console:
    """The console on the Ask page, its sample questions shown."""
    opened = open_console()
    opened.page.wait_for_selector("button.sample")
    return opened
