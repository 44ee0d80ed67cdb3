"""Endpoint: where an OpenAI-compatible server listens and how it is spoken to.

httpx costs a tenth of a second to import, so it is imported here, in ``exchange`` and in
``remote_errors`` only when a server is really called.
"""

from __future__ import annotations

import functools
import ipaddress
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from banyan.core.errors import InputError

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT_S = 10.0
SILENCE_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """``url`` is the API's root without a final slash (``http://host:1234/v1``).

    ``silence_timeout_s`` is the longest wait for the next byte; the caller's ``Context`` bounds
    the whole.
    """

    url: str
    key: str = field(default="", repr=False)
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    silence_timeout_s: float = SILENCE_TIMEOUT_S

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def is_loopback(self) -> bool:
        return is_loopback(urlsplit(self.url).hostname or "")

    def client(self) -> httpx.Client:
        """A client for one exchange. Proxies of the environment are passed by on loopback."""
        import httpx

        timeout = httpx.Timeout(self.silence_timeout_s, connect=self.connect_timeout_s)
        return httpx.Client(
            verify=_tls(), timeout=timeout, trust_env=not self.is_loopback, follow_redirects=False
        )

    @property
    def headers(self) -> dict[str, str]:
        # An uncompressed answer cannot expand beyond the limits its reader keeps.
        headers = {"Accept-Encoding": "identity", "User-Agent": "banyan"}
        return {**headers, "Authorization": f"Bearer {self.key}"} if self.key else headers


def endpoint(url: str, key: str = "") -> Endpoint:
    """The endpoint of an address as people write it: with or without ``/v1`` or a final slash."""
    parts = _split(url.strip())
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InputError(
            f"{_shown(url)!r} is not the address of a server.",
            remedy="For example: http://127.0.0.1:11434/v1",
        )
    if parts.username or parts.password:
        raise InputError(
            "The address holds a name or password.", remedy="Give the key with `--key`."
        )
    if parts.query or parts.fragment:
        raise InputError(
            "The address holds a query or a fragment.", remedy="Leave out what follows ? or #."
        )
    if not key.isascii() or not key.isprintable():
        raise InputError("The key holds characters that no HTTP header can carry.")
    path = parts.path.rstrip("/").removesuffix("/chat/completions") or "/v1"
    return Endpoint(url=f"{parts.scheme}://{parts.netloc}{path}", key=key)


def _split(url: str) -> SplitResult | None:
    """The parts of an address; None where it holds what no address does."""
    if not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        return parts if parts.port != 0 else None
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@functools.cache
def _tls() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()


def _shown(url: str) -> str:
    """The address without a password that may stand in it."""
    return url.rsplit("@", 1)[-1][:200]
