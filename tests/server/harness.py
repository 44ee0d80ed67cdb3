"""A real server around a stub app: a free port, a thread of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from starlette.applications import Starlette
from tests.server.stubs import StubApp

from banyan.server.main import build_app
from banyan.server.running import listen, make_server, url_of
from banyan.server.site import Site

_ending: list[threading.Thread] = []


@dataclass(frozen=True)
class Running:
    """A server that listens: its address, the app behind it, its site."""

    url: str
    port: int
    app: StubApp
    site: Site
    stop: Callable[[], None]


def build(app: Any, **changes: Any) -> Starlette:
    """The ASGI application of a stub app, with some settings changed."""
    return build_app(app, replace(app.settings, **changes))


@contextmanager
def running(app: StubApp, **changes: Any) -> Iterator[Running]:
    """A real server on a free port, in a thread of its own."""
    application = build(app, **changes)
    site: Site = application.state.site
    listener = listen("127.0.0.1", 0)
    up = threading.Event()
    server = make_server(application, site, up.set)

    def run() -> None:
        with listener:
            server.run(sockets=[listener])

    thread = threading.Thread(target=run)
    thread.start()

    def stop() -> None:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()

    try:
        assert up.wait(10)
        port = listener.getsockname()[1]
        yield Running(url=url_of(listener, "127.0.0.1"), port=port, app=app, site=site, stop=stop)
    finally:
        server.should_exit = True  # it ends in its own time, so that the next test need not wait
        _ending.append(thread)


def all_ended() -> bool:
    """Wait for the servers that were told to end."""
    for thread in _ending:
        thread.join(10)
    return not any(thread.is_alive() for thread in _ending)


def talk(port: int, request: bytes, *, timeout_s: float = 5.0) -> bytes:
    """Send bytes as they are, return everything that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        try:
            connection.sendall(request)
        except OSError:
            pass  # the server may answer and close before it has read everything
        return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """What is still to come on a connection, until it ends."""
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    return received


def head(method: str, target: str, *lines: str) -> bytes:
    """A request's head that asks the server to close afterwards; Host is loopback."""
    all_lines = (f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", *lines)
    return ("\r\n".join(all_lines) + "\r\n\r\n").encode()
