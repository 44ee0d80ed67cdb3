"""The outermost layer of the server: checks, authenticates, sets headers, logs, never raises."""

from __future__ import annotations

import asyncio
import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from banyan.server.access import Access
from banyan.server.errors import error_response, from_exception
from banyan.server.security import (
    RESPONSE_HEADERS,
    HostRules,
    check_bounds,
    check_media_type,
    check_origin,
    has_body,
)

OPEN_PATHS = frozenset({"/api/health", "/api/session", "/api/login", "/"})
"""Answered without a key, as everything under ``/static/`` is."""

PRINCIPAL = "banyan.principal"
"""The key of the request's scope that holds its ``Principal``."""

DRAIN_S = 2.0
DRAIN_BYTES = 64 << 20
"""What is still read of a refused body, so that the client gets to see why it was refused."""

_log = logging.getLogger("banyan.access")


class Guard:
    """ASGI middleware around every route."""

    def __init__(self, app: ASGIApp, *, hosts: HostRules, access: Access) -> None:
        self._app = app
        self._hosts = hosts
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        try:
            self._check(scope, exchange.headers)
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            refusal = from_exception(error)
            if exchange.status:  # the response has begun; ending it short is all that is left
                raise
            await error_response(scope["path"], refusal)(scope, exchange.receive, exchange.send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        method, path = scope["method"], scope["path"]
        target = scope.get("raw_path", b"") + b"?" + scope.get("query_string", b"")
        check_bounds(target, path, headers)
        self._hosts.check(headers.get("host"))
        if path.startswith(("/api/", "/v1/")):
            check_origin(method, headers)
        check_media_type(method, headers)
        if path not in OPEN_PATHS and not path.startswith("/static/"):
            scope[PRINCIPAL] = self._access.principal(headers, client_address(scope))


def client_address(scope: Scope) -> str:
    """The client's address, without its port."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


class _Exchange:
    """One request and its response on their way through: what has been read, what was sent."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers = Headers(scope=scope)
        self.status = 0
        self._scope = scope
        self._receive = receive
        self._send = send
        self._started = time.perf_counter()
        self._unread = has_body(self.headers)

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.log()

    async def _begin(self, message: Message) -> None:
        self.status = message["status"]
        headers = MutableHeaders(scope=message)
        for name, value in RESPONSE_HEADERS.items():
            headers.setdefault(name, value)
        if not self._scope["path"].startswith("/static/"):
            headers.setdefault("cache-control", "no-store")
        else:
            headers.setdefault("cache-control", "no-cache")
        if self._unread and self.status >= 400:
            await self._drain()
            headers["connection"] = "close"

    async def _drain(self) -> None:
        if "expect" in self.headers:  # the client waits for our word before it sends the body
            return
        left = DRAIN_BYTES
        try:
            async with asyncio.timeout(DRAIN_S):
                while self._unread and left > 0:
                    left -= len((await self.receive()).get("body", b""))
        except TimeoutError:
            pass

    def log(self) -> None:
        """One line: method, path without its query, status, time; quiet unless it failed."""
        path = self._scope.get("raw_path", b"").decode("ascii", "replace")
        level = logging.INFO if self.status < 500 else logging.WARNING
        seconds = time.perf_counter() - self._started
        _log.log(level, "%s %s %d %.3f s", self._scope["method"], path, self.status, seconds)
