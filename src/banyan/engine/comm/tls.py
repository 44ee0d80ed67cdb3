"""TLS between hosts, optional: what was proven with the key then also travels unread.

Every host has a certificate signed by an authority of the cluster's own, and each end of a
connection asks for the other's (TLS 1.3, RFC 8446). Certificates name no addresses: who a peer is
the handshake inside proves (``handshake.py``).
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from banyan.core.errors import HostUnreachable, InputError, JoinRefused
from banyan.engine.comm.handshake import HANDSHAKE_TIMEOUT_S
from banyan.engine.comm.link import Link

REMEDY: Final = "Give all hosts TLS or none, and certificates of the same authority."


@dataclass(frozen=True, slots=True)
class Tls:
    """This host's certificate, for connections it takes and for those it makes."""

    accepting: ssl.SSLContext
    connecting: ssl.SSLContext

    @classmethod
    def load(cls, certificate: Path, key: Path, authority: Path) -> Tls:
        """From PEM files. Raises ``InputError`` naming what cannot be used."""
        try:
            return cls(
                _context(ssl.PROTOCOL_TLS_SERVER, certificate, key, authority),
                _context(ssl.PROTOCOL_TLS_CLIENT, certificate, key, authority),
            )
        except OSError as error:
            raise InputError(
                f"TLS with {certificate}, {key} and {authority} is not possible: {error}.",
                remedy="Give this host's certificate, its key and the authority as PEM files.",
            ) from None

    def accept(
        self, connection: socket.socket, *, timeout_s: float = HANDSHAKE_TIMEOUT_S
    ) -> ssl.SSLSocket:
        """Begin TLS with whoever connected. Raises as ``connect`` does."""
        return _begin(
            lambda: self.accepting.wrap_socket(connection, server_side=True), connection, timeout_s
        )

    def connect(
        self, connection: socket.socket, *, timeout_s: float = HANDSHAKE_TIMEOUT_S
    ) -> ssl.SSLSocket:
        """Begin TLS with whom we connected to; ``connection`` is closed when it fails.

        Raises ``JoinRefused`` when the other end has no TLS or another authority, and
        ``HostUnreachable`` when it hangs up or takes too long.
        """
        return _begin(lambda: self.connecting.wrap_socket(connection), connection, timeout_s)


class TlsLink(Link):
    """A ``Link`` over TLS; its socket never blocks, for bytes may wait where poll sees none."""

    def __init__(self, connection: ssl.SSLSocket, *, peer: int, name: str = "") -> None:
        super().__init__(connection, peer=peer, name=name)
        self._tls = connection
        connection.setblocking(False)

    def send(self, data: memoryview) -> None:
        """See ``Link``."""
        while len(data):
            count = self.send_some(data)
            if count == 0:
                self._sleep(select.POLLOUT)
            data = data[count:]

    def recv_into(self, buffer: memoryview) -> None:
        """See ``Link``."""
        while len(buffer):
            count = self.recv_some(buffer)
            if count == 0:
                self._sleep(select.POLLIN)
            buffer = buffer[count:]

    def send_some(self, data: memoryview) -> int:
        """See ``Link``."""
        try:
            return self._tls.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except OSError as error:
            raise self.lost(error) from None

    def recv_some(self, buffer: memoryview) -> int:
        """See ``Link``."""
        try:
            count = self._tls.recv_into(buffer, len(buffer))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except OSError as error:
            raise self.lost(error) from None
        if count == 0:
            raise self.lost(None)
        return count

    def _sleep(self, wanted: int) -> None:
        poll = select.poll()
        poll.register(self.fileno(), wanted)
        poll.poll()


def _context(protocol: int, certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority)
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0  # no connection is ever resumed
    return context


def _begin(
    wrap: Callable[[], ssl.SSLSocket], connection: socket.socket, timeout_s: float
) -> ssl.SSLSocket:
    before = connection.gettimeout()
    connection.settimeout(timeout_s)
    try:
        secured = wrap()
    except TimeoutError:
        connection.close()
        raise HostUnreachable(
            f"The other end did not begin TLS within {timeout_s:g} s.", remedy=REMEDY
        ) from None
    except OSError as error:
        connection.close()
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            raise JoinRefused(f"TLS does not begin: {error.reason}.", remedy=REMEDY) from None
        raise HostUnreachable(f"The connection broke as TLS began: {error}.") from None
    secured.settimeout(before)
    return secured
