"""How a failure leaves: one JSON shape for the product's API, OpenAI's for ``/v1``.

Everything that goes wrong anywhere becomes a ``BanyanError`` here and is written once.
"""

from __future__ import annotations

import logging

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from banyan.core.errors import (
    AccessError,
    BanyanError,
    ClusterError,
    InputError,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    ShuttingDown,
    TooManyAttempts,
    Unauthenticated,
    UnknownModel,
)
from banyan.server.wire import reply, to_bytes

RETRY_AFTER_S = 2
"""What a client is told to wait when the server is busy."""

LOCKOUT_S = 60
"""What a client is told to wait after too many wrong keys."""

_log = logging.getLogger(__name__)

_OPENAI_CODES = {UnknownModel: "model_not_found", Unauthenticated: "invalid_api_key"}


def product_body(error: BanyanError) -> dict[str, object]:
    """``{"error": {"code", "message", "remedy"}}``."""
    return {"error": {"code": error.code, "message": str(error), "remedy": error.remedy}}


def openai_body(error: BanyanError) -> dict[str, object]:
    """``{"error": {"message", "type", "param", "code"}}``, as OpenAI's clients expect it."""
    message = f"{error} {error.remedy}".strip()
    param = error.field if isinstance(error, InputError) and error.field else None
    return {
        "error": {
            "message": message,
            "type": _openai_type(error),
            "param": param,
            "code": _OPENAI_CODES.get(type(error), error.code),
        }
    }


def is_openai(path: str) -> bool:
    """Whether failures of this path take OpenAI's shape."""
    return path == "/v1" or path.startswith("/v1/")


def error_response(path: str, error: BanyanError, *, close: bool = False) -> Response:
    """The response for ``error`` on ``path``; ``close`` ends the connection after it."""
    body = openai_body(error) if is_openai(path) else product_body(error)
    headers = {"cache-control": "no-store"}
    if isinstance(error, (ClusterError, Overloaded, ShuttingDown)):
        headers["retry-after"] = str(RETRY_AFTER_S)
    if isinstance(error, TooManyAttempts):
        headers["retry-after"] = str(LOCKOUT_S)
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    if close:
        headers["connection"] = "close"
    return reply(body, status=error.http_status, headers=headers)


def from_exception(error: Exception) -> BanyanError:
    """Any exception as the ``BanyanError`` to show; an unexpected one is logged, not shown."""
    if isinstance(error, BanyanError):
        return error
    if isinstance(error, HTTPException):
        return _from_http(error)
    _log.error("A request failed unexpectedly.", exc_info=error)
    return InternalError("Something went wrong inside Banyan.", remedy="See the server's log.")


async def handle(request: Request, error: Exception) -> Response:
    """Starlette's exception handler for everything raised in a route."""
    return error_response(request.url.path, from_exception(error))


def product_failure(error: BanyanError) -> bytes:
    """The last event of a product stream that failed."""
    body = {"type": "failed", "code": error.code, "message": str(error), "remedy": error.remedy}
    return b"data: " + to_bytes(body) + b"\n\n"


def openai_failure(error: BanyanError) -> bytes:
    """The last event of a ``/v1`` stream that failed."""
    return b"data: " + to_bytes(openai_body(error)) + b"\n\n"


def _openai_type(error: BanyanError) -> str:
    if isinstance(error, Unauthenticated):
        return "authentication_error"
    if isinstance(error, AccessError):
        return "permission_error"
    if isinstance(error, TooManyAttempts):
        return "rate_limit_error"
    return "invalid_request_error" if error.http_status < 500 else "server_error"


def _from_http(error: HTTPException) -> BanyanError:
    if error.status_code == 405:
        allowed = (error.headers or {}).get("allow") or (error.headers or {}).get("Allow") or ""
        return MethodNotAllowed(
            "This address does not take that method.", remedy=f"It takes {allowed}."
        )
    if error.status_code == 404:
        return NotFound(
            "There is nothing at this address.", remedy="docs/reference/http.md lists every route."
        )
    return InputError(str(error.detail))
