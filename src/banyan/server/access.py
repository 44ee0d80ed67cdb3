"""Who is asking: keys in the Authorization header, sessions in a cookie, guesses counted.

On loopback everybody who reaches the server is its owner, and no key is asked for. Sessions live
in memory: after a restart people sign in again.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import NoReturn

from starlette.datastructures import Headers
from starlette.requests import cookie_parser

from banyan.core.context import Principal
from banyan.core.errors import Unauthenticated
from banyan.server.keys import Key, KeyRing
from banyan.server.throttle import Throttle

COOKIE = "banyan_session"
SESSION_S = 30 * 24 * 3600
MAX_SESSIONS = 1024


@dataclass(frozen=True, slots=True)
class _Session:
    key_id: str
    name: str
    expires: float


class Access:
    """Turns a request's credentials into a ``Principal``; used on the event loop only."""

    def __init__(self, keys: KeyRing, *, required: bool, throttle: Throttle | None = None) -> None:
        self.required = required
        self._keys = keys
        self._throttle = throttle or Throttle()
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    def principal(self, headers: Headers, address: str) -> Principal:
        """Who asks; raise ``Unauthenticated``, or ``TooManyAttempts`` after many wrong keys."""
        if not self.required:
            return Principal()
        session = self._session(headers)
        if session is not None:
            return Principal(name=session.name)
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Unauthenticated(
                "A key is needed here.", remedy="Sign in, or send it as `Authorization: Bearer`."
            )
        key = self._keys.match(secret.strip())
        if key is None:
            self._refuse(address)
        return Principal(name=key.name)

    def signed_in(self, headers: Headers) -> bool:
        """Whether the console may go on without asking for a key."""
        return not self.required or self._session(headers) is not None

    def login(self, secret: str, address: str) -> str:
        """Open a session and return its token; raise as ``principal`` does.

        Unlike a Bearer key, a right key is refused too while the address is locked out.
        """
        self._throttle.check(address)
        key = self._keys.match(secret.strip())
        if key is None:
            self._refuse(address)
        return self._open(key)

    def logout(self, headers: Headers) -> None:
        """End the session of this cookie, if there is one."""
        self._sessions.pop(_fingerprint(_token(headers)), None)

    def _open(self, key: Key) -> str:
        token = secrets.token_urlsafe(32)
        self._sessions[_fingerprint(token)] = _Session(key.id, key.name, time.time() + SESSION_S)
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return token

    def _session(self, headers: Headers) -> _Session | None:
        fingerprint = _fingerprint(_token(headers))
        session = self._sessions.get(fingerprint)
        if session is None:
            return None
        if session.expires < time.time() or not self._keys.has(session.key_id):
            del self._sessions[fingerprint]
            return None
        return session

    def _refuse(self, address: str) -> NoReturn:
        self._throttle.check(address)
        self._throttle.failed(address)
        raise Unauthenticated("That key is not valid.", remedy="`banyan keys add` makes a new one.")


def _token(headers: Headers) -> str:
    return cookie_parser(headers.get("cookie", "")).get(COOKIE, "")


def _fingerprint(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
