"""The checks every request passes before any route sees it: pure functions over its headers.

A page on the internet can make a browser talk to a server on this machine, and a name it owns can
be made to point here (DNS rebinding). So even on loopback: the Host must be one we answer for, a
changing request must come from our own origin or from no browser at all, and its body must be of a
content type that a foreign page cannot send without asking first.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from banyan.core.errors import (
    CrossOrigin,
    InputError,
    LimitExceeded,
    UnexpectedHost,
    UnsupportedMediaType,
)

MAX_HEADERS = 100
MAX_HEADER_BYTES = 16_384
MAX_TARGET_BYTES = 8_192

CHANGING_METHODS: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "font-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

RESPONSE_HEADERS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
"""Sent with every response."""

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?)(?::([0-9]{1,5}))?")
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_WILDCARDS = frozenset({"", "0.0.0.0", "::", "[::]"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_loopback(host: str) -> bool:
    """Whether a server bound to ``host`` can be reached from this machine only."""
    if host == "localhost":
        return True
    address = _address(host)
    return address is not None and address.is_loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRules:
    """The Host headers that are answered: fixed names and, on a wildcard address, any address.

    A rebinding attack needs a name of its own, so literal addresses are safe to answer for where
    the server listens on all of them.
    """

    names: frozenset[str]
    any_address: bool = False

    @classmethod
    def of(cls, host: str, allowed_hosts: str) -> HostRules:
        """The rules for a server bound to ``host``; raise ``InputError`` for a malformed name."""
        wildcard = host in _WILDCARDS
        own = socket.gethostname() if wildcard else _bracketed(host)
        return cls(
            names=_LOOPBACK_NAMES | {own.lower()} | further_hosts(allowed_hosts),
            any_address=wildcard,
        )

    def check(self, header: str | None) -> None:
        """Raise ``UnexpectedHost`` unless the Host header (port ignored) is one of ours."""
        found = _HOST.fullmatch((header or "").lower())
        if found:
            name = found.group(1)
            if name in self.names or (self.any_address and _address(name) is not None):
                return
        raise UnexpectedHost(
            "This server does not answer for that host name.",
            remedy="Use the address it printed at start, or add the name to BANYAN_ALLOWED_HOSTS.",
        )


def further_hosts(allowed_hosts: str) -> frozenset[str]:
    """The names of the setting ``allowed_hosts``; raise ``InputError`` for a malformed one."""
    names = {name.strip().lower() for name in allowed_hosts.split(",") if name.strip()}
    for name in names:
        found = _HOST.fullmatch(name)
        if not found or found.group(2):
            raise InputError(
                f"{name!r} in allowed_hosts is not a host name.",
                remedy="Give names or addresses without scheme and port, separated by commas.",
            )
    return frozenset(names)


def check_bounds(raw_target: bytes, path: str, headers: Headers) -> None:
    """Raise ``LimitExceeded`` or ``InputError`` for a request line or head out of bounds."""
    if len(raw_target) > MAX_TARGET_BYTES:
        raise LimitExceeded(
            "The address's length in bytes",
            limit="MAX_TARGET_BYTES",
            value=len(raw_target),
            allowed=MAX_TARGET_BYTES,
        )
    if len(headers.raw) > MAX_HEADERS:
        raise LimitExceeded(
            "The number of headers",
            limit="MAX_HEADERS",
            value=len(headers.raw),
            allowed=MAX_HEADERS,
        )
    size = sum(len(name) + len(value) for name, value in headers.raw)
    if size > MAX_HEADER_BYTES:
        raise LimitExceeded(
            "The headers' length in bytes",
            limit="MAX_HEADER_BYTES",
            value=size,
            allowed=MAX_HEADER_BYTES,
        )
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        raise InputError("The address holds control characters.")


def check_origin(method: str, headers: Headers) -> None:
    """Raise ``CrossOrigin`` for what a page of another origin made a browser send.

    Browsers say where a request comes from (Fetch Metadata; the Origin header on every changing
    request); programs that are no browser send neither header.
    """
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    foreign = site not in (None, "same-origin", "none")
    if method in CHANGING_METHODS and origin is not None:
        foreign = foreign or _origin_host(origin) != _without_default_port(headers.get("host", ""))
    if foreign:
        raise CrossOrigin(
            "The request comes from a page of another origin.",
            remedy="Use the console that this server serves, or a program that is no browser.",
        )


def check_media_type(method: str, headers: Headers) -> None:
    """Raise ``UnsupportedMediaType`` unless a body is JSON (PUT: a plain stream of bytes)."""
    if method not in CHANGING_METHODS or (method == "DELETE" and not has_body(headers)):
        return
    wanted = "application/octet-stream" if method == "PUT" else "application/json"
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != wanted:
        raise UnsupportedMediaType(
            f"The body's content type must be {wanted}.", remedy="Set the Content-Type header."
        )


def has_body(headers: Headers) -> bool:
    """Whether the request's head announces a body."""
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _origin_host(origin: str) -> str:
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return ""
    host = _bracketed(parts.hostname or "")
    if port is None or port == _DEFAULT_PORTS.get(parts.scheme):
        return host
    return f"{host}:{port}"


def _without_default_port(host: str) -> str:
    return re.sub(r":(?:80|443)$", "", host.lower())
