"""Who may come in, and what is said where TLS is on."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine.cluster.broken_wire import Wire
from tests.engine.cluster.toys import TOKEN, Toys, toys, use_toy_ranks, wait_until
from tests.engine.comm.certificates import pem

from banyan.core.errors import JoinRefused
from banyan.engine.cluster.control import CONTROL
from banyan.engine.cluster.lobby import MAX_FROM_ONE, MAX_HANDSHAKES
from banyan.engine.comm import handshake


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    use_toy_ranks(monkeypatch)


def connected(cluster: Toys) -> socket.socket:
    return socket.create_connection(("127.0.0.1", cluster.head.port), timeout=10)


def refused(cluster: Toys) -> JoinRefused:
    wait_until(lambda: cluster.refusals)
    error = cluster.refusals[0]
    assert isinstance(error, JoinRefused)
    return error


def test_with_tls_a_group_forms_fetches_its_parts_and_can_be_read_by_nobody(
    tmp_path: Path,
) -> None:
    with toys(tmp_path, hosts=1, pem=pem()) as cluster, Wire(cluster.head.port) as wire:
        cluster.join("attic", tls=True, port=wire.port)
        cluster.form()
        assert cluster.head.status().tls
        assert any(event.startswith("Fetching") for event in cluster.events)
        assert wire.heard
        for word in (b"attic", b'"op"', b"banyan slice", TOKEN.encode(), b"PRIVATE"):
            assert word not in wire.heard


def test_without_tls_what_is_said_can_be_read(tmp_path: Path) -> None:
    """The test above would notice."""
    with toys(tmp_path, hosts=1) as cluster, Wire(cluster.head.port) as wire:
        cluster.join("attic", port=wire.port)
        cluster.form()
        assert not cluster.head.status().tls
        for word in (b"attic", b'"op"', b"banyan slice"):
            assert word in wire.heard
        assert TOKEN.encode() not in wire.heard


def test_a_host_without_tls_is_refused_by_a_head_with_it(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=1, pem=pem()) as cluster:
        cluster.join("attic")
        error = refused(cluster)
        assert "only hosts that use TLS" in str(error)
        assert "--tls" in error.remedy


def test_a_host_with_tls_refuses_a_head_without(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=1) as cluster:
        cluster.join("attic", tls=True)
        error = refused(cluster)
        assert "does not use TLS" in str(error)
        assert "--tls" in error.remedy


def test_a_wrong_token_is_refused_under_tls_too(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=1, pem=pem()) as cluster:
        cluster.join("attic", token="guessed", tls=True)
        assert "token is wrong" in str(refused(cluster))


def test_one_who_has_been_let_in_and_says_nothing_is_let_go_again(tmp_path: Path) -> None:
    """A control connection without a hello must not stay open for ever."""
    with toys(tmp_path, hosts=1) as cluster, connected(cluster) as silent:
        handshake.connect(silent, TOKEN.encode(), {"purpose": CONTROL})
        while silent.recv(1 << 12):
            pass


def test_one_host_that_is_slow_to_say_hello_does_not_hold_up_the_next(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=1) as cluster, connected(cluster) as slow:
        handshake.connect(slow, TOKEN.encode(), {"purpose": CONTROL})
        slow.sendall(struct.pack(">I", 100))
        cluster.join("attic")
        cluster.form()


def test_a_host_that_joins_while_the_group_forms_is_refused_or_waits(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=1) as cluster:
        cluster.join("attic")
        forming = threading.Thread(target=cluster.form)
        forming.start()
        wait_until(lambda: cluster.head.missing == 0)
        cluster.join("cellar")
        assert "All 1 hosts are here already" in str(refused(cluster))
        forming.join(30)
        assert cluster.head.status().state == "ready"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Toys]:
    with toys(tmp_path, hosts=1) as found:
        yield found


def from_address(cluster: Toys, address: str) -> socket.socket:
    """A connection by another machine, as far as the head can tell."""
    where = ("127.0.0.1", cluster.head.port)
    return socket.create_connection(where, timeout=10, source_address=(address, 0))


def test_a_flood_of_silent_connections_is_capped_and_leaves_room_for_others(
    cluster: Toys,
) -> None:
    flood = [connected(cluster) for _ in range(MAX_FROM_ONE + 40)]
    try:
        welcomed = [stranger.recv(1) != b"" for stranger in flood]
        assert sum(welcomed) == MAX_FROM_ONE
        with from_address(cluster, "127.0.0.2") as other:
            handshake.connect(other, TOKEN.encode(), {"purpose": CONTROL})
    finally:
        for stranger in flood:
            stranger.close()
    wait_until(lambda: not cluster.head._lobby._places._taken)
    with connected(cluster) as another:
        handshake.connect(another, TOKEN.encode(), {"purpose": CONTROL})


def test_a_flood_from_everywhere_is_capped_in_all(cluster: Toys) -> None:
    flood = [from_address(cluster, f"127.0.1.{i % 20 + 1}") for i in range(MAX_HANDSHAKES + 40)]
    try:
        welcomed = [stranger.recv(1) != b"" for stranger in flood]
    finally:
        for stranger in flood:
            stranger.close()
    assert sum(welcomed) == MAX_HANDSHAKES
    wait_until(lambda: not cluster.head._lobby._places._taken)
