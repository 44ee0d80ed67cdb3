"""TLS between ranks, optional: what was proven with the key then also travels unread.

All ranks of a cluster hold one key and its certificate (``certificate.py``), which the head tells
them over its control connections, and each end of a link asks for the other's (TLS 1.3, RFC 8446).
It names no addresses: who a peer is the handshake inside proves (``handshake.py``).
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from tempfile import NamedTemporaryFile
from typing import Final

from banyan.core.errors import ClusterError, HostUnreachable, JoinRefused
from banyan.engine.comm.certificate import public_part
from banyan.engine.comm.handshake import HANDSHAKE_TIMEOUT_S
from banyan.engine.comm.link import Link

REMEDY: Final = "Another program may listen there: start the cluster again."


@dataclass(frozen=True, slots=True)
class Tls:
    """The cluster's certificate, for connections that are taken and for those that are made."""

    accepting: ssl.SSLContext
    connecting: ssl.SSLContext

    @classmethod
    def of(cls, pem: str) -> Tls:
        """From a key and its certificate. Raises ``ClusterError`` for what is none."""
        return cls(_mutual(ssl.PROTOCOL_TLS_SERVER, pem), _mutual(ssl.PROTOCOL_TLS_CLIENT, pem))

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

        Raises ``JoinRefused`` when the other end has no TLS or another certificate, and
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


def accepting(pem: str) -> ssl.SSLContext:
    """Shows the certificate and asks for none. Raises ``ClusterError`` for what is none."""
    return _context(ssl.PROTOCOL_TLS_SERVER, pem)


def _mutual(protocol: int, pem: str) -> ssl.SSLContext:
    context = _context(protocol, pem)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=public_part(pem))
    return context


def _context(protocol: int, pem: str) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    try:
        public_part(pem)
        with NamedTemporaryFile(mode="w", suffix=".pem") as file:  # only files can be loaded
            file.write(pem)
            file.flush()
            context.load_cert_chain(file.name)
    except (ValueError, OSError) as error:
        raise ClusterError(f"The cluster's certificate cannot be used: {error}.") from None
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
