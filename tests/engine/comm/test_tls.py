"""Links of ranks under TLS: same bytes, unreadable between, and only with the cluster's own key."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest
from tests.engine.comm.certificates import pem
from tests.engine.comm.meshes import Joining, listeners, mesh

from banyan.core.errors import ClusterError, HostUnreachable, JoinRefused
from banyan.engine.comm import handshake
from banyan.engine.comm.certificate import make_certificate
from banyan.engine.comm.link import Link, Pump
from banyan.engine.comm.tls import Tls, TlsLink

BYTES = 3 << 20


def test_all_links_of_a_roster_with_a_certificate_are_encrypted() -> None:
    with mesh((1, 2), channels={"plan": [(0, 1)]}, pem=pem()) as groups:
        for group in groups:
            links = [*group.links.values(), *group.channels["plan"].values()]
            assert all(isinstance(link, TlsLink) for link in links)
        groups[0].links[2].send(memoryview(b"hello"))
        space = bytearray(5)
        groups[2].links[0].recv_into(memoryview(space))
        assert space == b"hello"


def test_both_ends_send_more_than_buffers_hold_at_once() -> None:
    with mesh((1, 1), pem=pem()) as groups:
        ends = [groups[0].links[1], groups[1].links[0]]
        got = [bytearray(BYTES), bytearray(BYTES)]

        def pump(number: int) -> None:
            moving = Pump([ends[number]])
            moving.send(ends[number], memoryview(bytes([number + 1]) * BYTES))
            moving.expect(ends[number], memoryview(got[number]))
            moving.run()

        threads = [threading.Thread(target=pump, args=(number,)) for number in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert got == [b"\x02" * BYTES, b"\x01" * BYTES]


def test_a_peer_that_goes_is_named() -> None:
    with mesh((1, 1), pem=pem()) as groups:
        groups[1].close()
        with pytest.raises(ClusterError, match="rank 1 on host 1"):
            groups[0].links[1].recv_into(memoryview(bytearray(1)))


def test_a_rank_without_the_certificate_does_not_get_in() -> None:
    roster, made = listeners((1, 1), pem())
    first = Joining(roster, 0, made[0], timeout_s=0.5)
    stranger = Tls.of(make_certificate())
    with (
        socket.create_connection(made[0].getsockname(), timeout=10) as connection,
        pytest.raises((JoinRefused, HostUnreachable)),
    ):
        # Under TLS 1.3 who connects learns only with the first bytes that he was refused.
        stranger.connect(connection).recv(1)
    made[1].close()
    first.wait()
    assert isinstance(first.error, HostUnreachable)


def test_a_rank_that_talks_in_the_clear_does_not_get_in() -> None:
    roster, made = listeners((1, 1), pem())
    first = Joining(roster, 0, made[0], timeout_s=0.5)
    with socket.create_connection(made[0].getsockname(), timeout=10) as connection:
        connection.sendall(handshake.MAGIC + bytes(200))
        with contextlib.suppress(ConnectionResetError):
            assert handshake.MAGIC not in connection.recv(100)
    made[1].close()
    first.wait()
    assert isinstance(first.error, HostUnreachable)


def test_what_is_no_certificate_is_an_error() -> None:
    for wrong in ("", "nonsense", pem().replace("A", "B")):
        with pytest.raises(ClusterError, match="certificate"):
            Tls.of(wrong)


def test_a_plain_link_is_not_a_tls_one() -> None:
    with mesh((1, 1)) as groups:
        assert type(groups[0].links[1]) is Link
