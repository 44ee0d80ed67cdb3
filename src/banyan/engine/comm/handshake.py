"""Handshake: how two ends of a socket prove to each other that they know the same key.

    accepting end                          connecting end
    MAGIC, nonce a              ->
                                <-         MAGIC, nonce b, hello, HMAC(key, "connect" a b hello)
    verdict, HMAC(key, "accept" b a hello) ->

The key never travels and both nonces are fresh, so an overheard handshake opens nothing. Every
message has a fixed or capped length and the whole must end within ``timeout_s``, so a stranger can
hold neither memory nor time. HMAC-SHA256 (RFC 2104).

What follows is in the clear unless the stream is TLS. Then the hello names the certificate that the
connecting end was shown (empty: none), and the accepting end compares it with its own: whoever sits
between, with a certificate of his own or without any, is found out by both (the idea of channel
bindings, RFC 5929).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import struct
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeVar

from banyan import __version__
from banyan.core.errors import HostUnreachable, JoinRefused
from banyan.engine.comm.stream import Stream

MAGIC: Final = b"BANYAN\x00\x01"
SECURE: Final = b"BANYAN\x00\x02"
"""What an end that accepts only TLS says before it begins (``tls_stream.py``)."""
NONCE_BYTES: Final = 32
MAC_BYTES: Final = 32
MAX_HELLO_BYTES: Final = 1024
HANDSHAKE_TIMEOUT_S: Final = 5.0
CHECK_PORT: Final = "Check the port: it is the cluster's, not the one of the web page."

_ACCEPTED: Final = b"\x00"
_WRONG_KEY: Final = b"\x01"
_WRONG_VERSION: Final = b"\x02"
_WRONG_CERTIFICATE: Final = b"\x03"

Hello = Mapping[str, str | int]
Result = TypeVar("Result")


def accept(
    connection: Stream,
    key: bytes,
    *,
    certificate: str = "",
    timeout_s: float = HANDSHAKE_TIMEOUT_S,
) -> Hello:
    """Challenge whoever connected; what it says of itself. ``certificate`` is the fingerprint of
    the one that this end has shown.

    Raises ``JoinRefused`` with the reason, and ``HostUnreachable`` when the other end hangs up or
    takes too long. The socket is then the caller's to close.
    """
    stream = _Stream(connection, timeout_s)
    nonce = secrets.token_bytes(NONCE_BYTES)
    stream.send(MAGIC + nonce)
    if stream.read(len(MAGIC)) != MAGIC:
        raise JoinRefused("What connected does not speak Banyan's protocol.")
    theirs = stream.read(NONCE_BYTES)
    (length,) = struct.unpack(">H", stream.read(2))
    if length > MAX_HELLO_BYTES:
        raise JoinRefused(f"A hello of {length} bytes; MAX_HELLO_BYTES = {MAX_HELLO_BYTES}.")
    hello = stream.read(length)
    if not hmac.compare_digest(stream.read(MAC_BYTES), _mac(key, b"connect", nonce, theirs, hello)):
        stream.send(_WRONG_KEY + bytes(MAC_BYTES))
        raise JoinRefused("What connected does not know the token.")
    said = _parsed(hello)
    verdict, reason = _judged(said, certificate)
    stream.send(verdict + _mac(key, b"accept" + verdict, theirs, nonce, hello))
    if reason:
        raise JoinRefused(reason)
    stream.release()
    return said


def connect(
    connection: Stream,
    key: bytes,
    hello: Hello,
    *,
    certificate: str = "",
    timeout_s: float = HANDSHAKE_TIMEOUT_S,
) -> None:
    """Answer the challenge of the accepting end and check that it knows the key, too;
    ``certificate`` is the fingerprint of the one it has shown.

    Raises ``JoinRefused`` with the reason, and ``HostUnreachable`` when the other end hangs up or
    takes too long: it may be busy, so that another try helps.
    """
    stream = _Stream(connection, timeout_s)
    _check_magic(stream.read(len(MAGIC)))
    theirs = stream.read(NONCE_BYTES)
    nonce = secrets.token_bytes(NONCE_BYTES)
    whole = {**hello, "version": __version__, "certificate": certificate}
    body = json.dumps(whole, separators=(",", ":")).encode()
    proof = _mac(key, b"connect", theirs, nonce, body)
    stream.send(MAGIC + nonce + struct.pack(">H", len(body)) + body + proof)
    verdict = stream.read(1)
    expected = _mac(key, b"accept" + verdict, nonce, theirs, body)
    is_proven = hmac.compare_digest(stream.read(MAC_BYTES), expected)
    _check_verdict(verdict if is_proven else _WRONG_KEY)
    stream.release()


def _judged(said: Hello, certificate: str) -> tuple[bytes, str]:
    """The verdict over one who knows the key, and why it is refused, if it is."""
    if said.get("version") != __version__:
        reason = f"What connected is Banyan {said.get('version')}; this is {__version__}."
        return _WRONG_VERSION, reason
    if said.get("certificate") != certificate:
        return _WRONG_CERTIFICATE, "What connected was shown another certificate than this one's."
    return _ACCEPTED, ""


def _check_magic(said: bytes) -> None:
    if said == SECURE:
        raise JoinRefused("The head takes only hosts that use TLS.", remedy="Join with --tls.")
    if said != MAGIC:
        raise JoinRefused("What listens there does not speak Banyan's protocol.", remedy=CHECK_PORT)


def _check_verdict(verdict: bytes) -> None:
    if verdict == _WRONG_VERSION:
        raise JoinRefused(
            f"The head runs another version of Banyan than this {__version__}.",
            remedy="Install the same version on every host.",
        )
    if verdict == _WRONG_CERTIFICATE:
        raise JoinRefused(
            "The certificate that was shown here is not the head's: somebody is between.",
            remedy="Check the address, and who can change what goes over this network.",
        )
    if verdict != _ACCEPTED:
        raise JoinRefused("The token is wrong.", remedy="The head prints the token at its start.")


class _Stream:
    """Exact reads and writes that together end by one deadline."""

    def __init__(self, connection: Stream, timeout_s: float) -> None:
        self._connection = connection
        self._before = connection.gettimeout()
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s

    def read(self, length: int) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            part = self._do(partial(self._connection.recv, length - len(parts)))
            if not part:
                raise HostUnreachable(
                    "The other end hung up in the middle of the handshake.",
                    remedy=f"Try again: it may have been busy. {CHECK_PORT}",
                )
            parts += part
        return bytes(parts)

    def send(self, data: bytes) -> None:
        self._do(partial(self._connection.sendall, data))

    def release(self) -> None:
        """Give the socket its own time-out back."""
        self._connection.settimeout(self._before)

    def _do(self, operation: Callable[[], Result]) -> Result:
        left = self._deadline - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            self._connection.settimeout(left)
            return operation()
        except TimeoutError:
            raise HostUnreachable(
                f"The other end did not finish the handshake within {self._timeout_s:g} s.",
                remedy=CHECK_PORT,
            ) from None
        except OSError as error:
            raise HostUnreachable(f"The connection broke in the handshake: {error}.") from None


def _mac(key: bytes, role: bytes, first: bytes, second: bytes, hello: bytes) -> bytes:
    return hmac.new(key, role + first + second + hello, hashlib.sha256).digest()


def _parsed(hello: bytes) -> Hello:
    try:
        said = json.loads(hello)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise JoinRefused("The hello is not a JSON object.")
    return said
