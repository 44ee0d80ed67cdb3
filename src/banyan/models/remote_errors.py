"""What the failures of an OpenAI-compatible server mean here; no message ever holds a key."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from banyan.core.errors import (
    BanyanError,
    ContextTooLong,
    Overloaded,
    RemoteKeyRefused,
    RemoteModelFailed,
)
from banyan.models.endpoint import Endpoint

if TYPE_CHECKING:
    import httpx

MAX_MESSAGE_CHARS = 300
MAX_ERROR_BYTES = 64 << 10
_ERRNO = re.compile(r"^\[Errno -?\d+\] ")
_TOO_LONG = re.compile(r"context[ _](length|size|window)|maximum context|too many tokens", re.I)


def of_response(to: Endpoint, response: httpx.Response) -> BanyanError:
    """The error of a status other than 200, read up to MAX_ERROR_BYTES."""
    status = response.status_code
    if 300 <= status < 400:
        return RemoteModelFailed(
            f"{to.host} sends elsewhere (HTTP {status}).",
            remedy="Connect the address it really has.",
        )
    return of_status(to, status, _said(to, _start(response)))


def of_status(to: Endpoint, status: int, said: str) -> BanyanError:
    words = f" It says: {said}" if said else ""
    if status in {401, 403} and not to.key:
        return RemoteKeyRefused(
            f"{to.host} wants a key (HTTP {status}).{words}",
            remedy="Connect it with one: `banyan models connect URL --key KEY`.",
        )
    if status in {401, 403}:
        return RemoteKeyRefused(
            f"{to.host} refused the key (HTTP {status}).{words}",
            remedy="Connect it again with the right key: `banyan models connect URL --key KEY`.",
        )
    if status in {429, 503}:
        return Overloaded(
            f"{to.host} is busy (HTTP {status}).{words}", remedy="Wait a little, then try again."
        )
    if status in {400, 413, 422} and _TOO_LONG.search(said):
        return ContextTooLong(f"The text is too long for the model at {to.host}.{words}")
    return RemoteModelFailed(
        f"{to.host} answered with HTTP {status}.{words}",
        remedy="Look at that server's log." if status >= 500 else "",
    )


def of_transport(to: Endpoint, error: httpx.HTTPError) -> RemoteModelFailed:
    """The error of a request that got no answer."""
    import httpx

    if isinstance(error, httpx.ConnectTimeout):
        what = f"did not accept a connection within {to.connect_timeout_s:g} s"
    elif isinstance(error, httpx.TimeoutException):
        what = f"was silent for {to.silence_timeout_s:g} s"
    elif isinstance(error, httpx.ConnectError):
        what = f"cannot be reached: {_ERRNO.sub('', clean(to, str(error)))}"
    else:
        what = f"broke off: {clean(to, str(error)) or type(error).__name__}"
    return RemoteModelFailed(
        f"{to.host} {what}.", remedy="See that the server runs and that the address is right."
    )


def of_body(to: Endpoint, error: object) -> BanyanError:
    """The error of an ``error`` object inside a stream that had begun well."""
    return of_status(to, _code(error), clean(to, _message(error)))


def clean(to: Endpoint, text: str) -> str:
    """One printable line of bounded length, without the key."""
    if to.key:
        text = text.replace(to.key, "***")
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MAX_MESSAGE_CHARS else line[: MAX_MESSAGE_CHARS - 1] + "…"


def _start(response: httpx.Response) -> bytes:
    data = bytearray()
    for chunk in response.iter_raw():
        data += chunk
        if len(data) > MAX_ERROR_BYTES:
            break
    return bytes(data)


def _said(to: Endpoint, body: bytes) -> str:
    try:
        return clean(to, _message(json.loads(body)))
    except (ValueError, RecursionError):
        return clean(to, body.decode("utf-8", "replace"))


def _message(body: object) -> str:
    """The message of ``{"error": {"message": ...}}`` and of the shapes servers use instead."""
    while isinstance(body, dict):
        body = body.get("error") or body.get("message") or body.get("detail") or ""
    return body if isinstance(body, str) else str(body or "")


def _code(error: object) -> int:
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 500
