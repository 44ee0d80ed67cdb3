"""Reading request bodies: bounded in size, in time and in what they may say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from banyan.core.errors import (
    Cancelled,
    InputError,
    LimitExceeded,
    RequestTimeout,
    UnsupportedOption,
)

BODY_GRACE_S = 20.0
BODY_MIN_BYTES_PER_S = 1024
"""A body must keep up with this rate after the grace time, or it is given up."""

Wire = TypeVar("Wire", bound=BaseModel)


async def read(request: Request, schema: type[Wire], *, limit: int) -> Wire:
    """The JSON body as ``schema``; raise ``InputError`` naming the field that is wrong."""
    parts = [part async for part in chunks(request, limit=limit, name="max_body_bytes")]
    try:
        return schema.model_validate_json(b"".join(parts))
    except ValidationError as error:
        raise invalid(error) from None


async def chunks(request: Request, *, limit: int, name: str) -> AsyncIterator[bytes]:
    """The body piece by piece; raise ``LimitExceeded``, ``RequestTimeout`` or ``Cancelled``.

    ``limit`` is bytes, ``name`` the setting it comes from. A length announced in the head is
    believed only when it is too large.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit():
        _check_size(int(declared), limit, name)
    started, received, more = time.monotonic(), 0, True
    while more:
        due = started + BODY_GRACE_S + received / BODY_MIN_BYTES_PER_S
        try:
            message = await asyncio.wait_for(request.receive(), due - time.monotonic())
        except TimeoutError:
            raise RequestTimeout(
                "The body came too slowly.", remedy="Try again over a better connection."
            ) from None
        if message["type"] == "http.disconnect":
            raise Cancelled("The client has left.")
        part = message.get("body", b"")
        received += len(part)
        _check_size(received, limit, name)
        more = message.get("more_body", False)
        if part:
            yield part


def invalid(error: ValidationError) -> InputError:
    """The first complaint of a schema, as the error to show; it never quotes the input."""
    first = error.errors(include_input=False, include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "json_invalid":
        return InputError(f"The body is not valid JSON: {first['msg'].partition(': ')[2]}.")
    if first["type"] == "extra_forbidden":
        return UnsupportedOption(f"{field[:100]!r} is not an option here.", field=field[:100])
    message = first["msg"].removeprefix("Value error, ")
    return InputError(f"{field}: {message}." if field else f"{message}.", field=field)


def _check_size(size: int, limit: int, name: str) -> None:
    if size > limit:
        raise LimitExceeded("The body's size in bytes", limit=name, value=size, allowed=limit)
