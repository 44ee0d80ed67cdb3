"""Health, who is signed in, signing in and out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

import banyan
from banyan.server.access import COOKIE, SESSION_S
from banyan.server.body import read
from banyan.server.guard import client_address
from banyan.server.schemas import Login, Nothing
from banyan.server.site import site_of
from banyan.server.wire import reply

MAX_LOGIN_BYTES = 4096


async def health(request: Request) -> Response:
    """Answers as long as the event loop turns; says nothing of what lies behind."""
    return reply({"status": "ok", "version": banyan.__version__})


async def session(request: Request) -> Response:
    """What the console needs to know before it shows anything."""
    access = site_of(request).access
    return reply(
        {
            "keys_required": access.required,
            "signed_in": access.signed_in(request.headers),
            "version": banyan.__version__,
        }
    )


async def login(request: Request) -> Response:
    """A key for a cookie that scripts cannot read and other sites cannot send."""
    access = site_of(request).access
    body = await read(request, Login, limit=MAX_LOGIN_BYTES)
    response = reply({"signed_in": True})
    if access.required:
        token = access.login(body.key, client_address(request.scope))
        response.set_cookie(
            COOKIE,
            token,
            max_age=SESSION_S,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
    return response


async def logout(request: Request) -> Response:
    """End the session on the server and in the browser."""
    await read(request, Nothing, limit=MAX_LOGIN_BYTES)
    site_of(request).access.logout(request.headers)
    response = reply({"signed_in": False})
    response.delete_cookie(
        COOKIE, httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )
    return response
