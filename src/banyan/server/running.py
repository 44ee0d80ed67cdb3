"""Running the server: its socket, its signals, and a quick, clean end."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from banyan.core.errors import Conflict, InputError
from banyan.server.protocol import BoundedProtocol
from banyan.server.security import MAX_HEADER_BYTES
from banyan.server.site import Site

STOP_TIMEOUT_S = 2
"""Time open connections have to end after a signal; then they are cut."""

KEEP_ALIVE_S = 30
BACKLOG = 128
LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"
MAX_PORT = 65_535

Ready = Callable[[], None]


def run(application: Starlette, site: Site, listener: socket.socket, ready: Ready) -> None:
    """Serve on ``listener`` until SIGINT or SIGTERM, then return; ``ready`` is called once."""
    logging.basicConfig(format=LOG_FORMAT, level=logging.WARNING)
    server = make_server(application, site, ready)
    with listener, _interrupts():
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:  # uvicorn has stopped cleanly and passes the signal on
            pass


def make_server(application: Starlette, site: Site, ready: Ready) -> uvicorn.Server:
    """The server, not yet running; for whoever wants to run it in a thread."""
    return _Server(application, site, ready)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; raise ``Conflict`` when the port is taken, ``InputError`` for a bad host."""
    if not 0 <= port <= MAX_PORT:
        raise InputError(f"{port} is not a port.", remedy=f"Ports are 0 (any) to {MAX_PORT}.")
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InputError(f"{host}:{port} is not an address of this machine ({error}).") from error
    family, _, _, _, address = found[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise Conflict(
            f"Cannot listen on {host}:{port}: {error.strerror}.",
            remedy="Stop what uses that port, or choose another with --port.",
        ) from error
    return listener


def url_of(listener: socket.socket, host: str) -> str:
    """The address people type, with the port that was bound."""
    shown = f"[{host}]" if ":" in host else host or "0.0.0.0"
    return f"http://{shown}:{listener.getsockname()[1]}"


class _Server(uvicorn.Server):
    """uvicorn, told to end our streams before it waits for its connections."""

    def __init__(self, application: Starlette, site: Site, ready: Ready) -> None:
        super().__init__(_config(application, site))
        self._site = site
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._site.stop()
        await super().shutdown(sockets)


def _config(application: Starlette, site: Site) -> uvicorn.Config:
    class Protocol(BoundedProtocol):
        max_connections = site.settings.max_connections

    return uvicorn.Config(
        application,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips="127.0.0.1",
        h11_max_incomplete_event_size=4 * MAX_HEADER_BYTES,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_TIMEOUT_S,
    )


@contextmanager
def _interrupts() -> Iterator[None]:
    """Let SIGTERM end the server as SIGINT does, so that the caller can close what it opened."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
