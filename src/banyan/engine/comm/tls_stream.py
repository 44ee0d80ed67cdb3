"""TlsStream: a control connection under TLS 1.3 (RFC 8446).

The accepting end says ``SECURE`` at once, so that one that came without TLS learns what is wrong.
Whose certificate it is this file does not check: nothing that is said over the stream may be
believed before ``handshake.py`` has compared its ``fingerprint`` under the token.

One thread may read while others write. OpenSSL must not be used by two threads at a time, so the
records are made and read in memory, under a lock, and only sockets are waited for.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from typing import Final

from banyan.core.errors import HostUnreachable, JoinRefused
from banyan.engine.comm.certificate import fingerprint
from banyan.engine.comm.handshake import CHECK_PORT, HANDSHAKE_TIMEOUT_S, MAGIC, SECURE

READ_BYTES: Final = 1 << 16
WRITE_BYTES: Final = 1 << 20
"""How much is encrypted before it is sent: what a stream needs of memory."""


class TlsStream:
    """See ``Stream``. Made by ``accept`` and ``connect``."""

    def __init__(self, connection: socket.socket, context: ssl.SSLContext, *, accepts: bool):
        self._socket = connection
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._arrived, self._leaving, server_side=accepts)
        self._lock = threading.Lock()
        self._sending = threading.Lock()

    @classmethod
    def accept(
        cls,
        connection: socket.socket,
        context: ssl.SSLContext,
        *,
        timeout_s: float = HANDSHAKE_TIMEOUT_S,
    ) -> TlsStream:
        """Begin with whoever connected. Raises as ``connect`` does."""
        with _Limit(connection, timeout_s) as limit:
            connection.sendall(SECURE)
            stream = cls(connection, context, accepts=True)
            stream._begin(limit)
        return stream

    @classmethod
    def connect(
        cls, connection: socket.socket, *, timeout_s: float = HANDSHAKE_TIMEOUT_S
    ) -> TlsStream:
        """Begin with whom we connected to.

        Raises ``JoinRefused`` when it does not use TLS or breaks its rules, ``HostUnreachable``
        when it hangs up or takes too long. The socket is then the caller's to close.
        """
        with _Limit(connection, timeout_s) as limit:
            _check_greeting(_greeting(connection, limit))
            stream = cls(connection, _connecting(), accepts=False)
            stream._begin(limit)
        return stream

    @property
    def fingerprint(self) -> str:
        """Of the certificate that the accepting end has shown."""
        return fingerprint(self._tls.getpeercert(binary_form=True) or b"")

    def recv(self, size: int, /) -> bytes:
        while True:
            try:
                with self._lock:
                    return self._tls.read(size)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                return b""
            self._flush()  # what TLS itself has to answer
            if not self._take():
                return b""

    def sendall(self, data: bytes | memoryview, /) -> None:
        view = memoryview(data)
        with self._sending:
            for start in range(0, len(view), WRITE_BYTES):
                with self._lock:
                    self._tls.write(view[start : start + WRITE_BYTES])
                    ready = self._leaving.read()
                self._socket.sendall(ready)

    def gettimeout(self) -> float | None:
        return self._socket.gettimeout()

    def settimeout(self, value: float | None, /) -> None:
        self._socket.settimeout(value)

    def setsockopt(self, level: int, name: int, value: int | bytes, /) -> None:
        self._socket.setsockopt(level, name, value)

    def shutdown(self, how: int, /) -> None:
        self._socket.shutdown(how)

    def close(self) -> None:
        self._socket.close()

    def _begin(self, limit: _Limit) -> None:
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                self._flush()  # tells the other end what was wrong
                raise
            limit.check()
            self._flush()
            if not self._take():
                raise ConnectionError("the other end hung up")
        self._flush()

    def _flush(self) -> None:
        with self._lock:
            is_due = self._leaving.pending > 0  # what a writer has made it has taken out, too
        if is_due:
            with self._sending:
                with self._lock:
                    ready = self._leaving.read()
                self._socket.sendall(ready)

    def _take(self) -> int:
        """Wait for bytes of the other end; 0 at their end."""
        data = self._socket.recv(READ_BYTES)
        with self._lock:
            return self._arrived.write(data)


class _Limit:
    """The time in which TLS must have begun, and what it is called when it has not."""

    def __init__(self, connection: socket.socket, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s
        self._before = connection.gettimeout()
        self._deadline = time.monotonic() + timeout_s

    def check(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)

    def __enter__(self) -> _Limit:
        self.check()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, TimeoutError):
            raise HostUnreachable(
                f"The other end did not begin TLS within {self._timeout_s:g} s.", remedy=CHECK_PORT
            ) from None
        if isinstance(error, ssl.SSLError):
            raise JoinRefused(f"TLS does not begin: {error.reason or error}.") from None
        if isinstance(error, OSError):
            raise HostUnreachable(f"The connection broke as TLS began: {error}.") from None
        if error is None:
            self._connection.settimeout(self._before)


def _greeting(connection: socket.socket, limit: _Limit) -> bytes:
    parts = b""
    while len(parts) < len(SECURE):
        limit.check()
        part = connection.recv(len(SECURE) - len(parts))
        if not part:
            raise ConnectionError("the other end hung up")
        parts += part
    return parts


def _check_greeting(said: bytes) -> None:
    if said == MAGIC:
        raise JoinRefused(
            "The head does not use TLS.",
            remedy="Start the head with --tls; or leave --tls out here, and what is said between "
            "the hosts can be read on the way.",
        )
    if said != SECURE:
        raise JoinRefused("What listens there does not speak Banyan's protocol.", remedy=CHECK_PORT)


def _connecting() -> ssl.SSLContext:
    """Takes any certificate: which one is the head's, the handshake with the token proves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
