"""The mesh: every pair of ranks is connected once, and strangers change nothing of that."""

from __future__ import annotations

import socket
import struct
import time

import pytest
from tests.engine.comm.meshes import Joining, listeners, mesh

from banyan.core.errors import ClusterError, HostUnreachable, JoinRefused
from banyan.engine.comm import handshake
from banyan.engine.comm import mesh as meshes
from banyan.engine.comm.group import Group
from banyan.engine.comm.link import Link
from banyan.engine.comm.mesh import Pairs, join_mesh
from banyan.engine.comm.roster import Roster


def told(link: Link, number: int) -> None:
    link.send(memoryview(struct.pack("<I", number)))


def heard(link: Link) -> int:
    space = bytearray(4)
    link.recv_into(memoryview(space))
    (number,) = struct.unpack("<I", space)
    return int(number)


def assert_connected(groups: list[Group]) -> None:
    """Each link ends where its owner thinks that it does."""
    for group in groups:
        for peer, link in group.links.items():
            told(link, 1000 * group.rank + peer)
    for group in groups:
        assert set(group.links) == {other.rank for other in groups} - {group.rank}
        for peer, link in group.links.items():
            assert heard(link) == 1000 * peer + group.rank


@pytest.mark.parametrize("hosts", [(1,), (2,), (1, 1), (2, 2), (3, 1, 2)], ids=str)
def test_every_pair_of_ranks_is_connected(hosts: tuple[int, ...]) -> None:
    with mesh(hosts) as groups:
        assert_connected(groups)
        assert tuple(len(ranks) for ranks in groups[0].topology.hosts) == hosts


def test_further_channels_connect_the_pairs_they_name_and_no_others() -> None:
    channels: dict[str, Pairs] = {"plan": [(0, 1), (0, 2)], "stage": [(2, 1)]}
    with mesh((1, 1, 1), channels=channels) as groups:
        assert_connected(groups)
        assert [set(group.channels["plan"]) for group in groups] == [{1, 2}, {0}, {0}]
        assert [set(group.channels["stage"]) for group in groups] == [set(), {2}, {1}]
        told(groups[0].channels["plan"][2], 7)
        told(groups[1].channels["stage"][2], 8)
        assert heard(groups[2].channels["stage"][1]) == 8
        assert heard(groups[2].channels["plan"][0]) == 7


def test_an_error_names_rank_and_host_of_the_peer() -> None:
    with mesh((1, 1)) as groups:
        groups[1].close()
        with pytest.raises(ClusterError, match="rank 1 on host 1"):
            heard(groups[0].links[1])


def test_a_rank_that_comes_late_is_waited_for() -> None:
    roster, made = listeners((1, 1, 1))
    joining = [Joining(roster, rank, made[rank]) for rank in (0, 2)]
    time.sleep(0.3)
    joining.insert(1, Joining(roster, 1, made[1]))
    try:
        assert_connected([each.group for each in joining])
    finally:
        for each in joining:
            each.close()


def test_a_rank_that_never_calls_is_named_in_bounded_time() -> None:
    roster, made = listeners((1, 1))
    began = time.monotonic()
    with pytest.raises(HostUnreachable, match=r"rank 1 \(127.0.0.1\)"):
        join_mesh(roster, 0, made[0], timeout_s=0.3)
    assert time.monotonic() - began < 10
    made[1].close()


def test_a_rank_that_cannot_be_reached_is_named_in_bounded_time() -> None:
    roster, made = listeners((1, 1))
    made[0].close()
    with pytest.raises(HostUnreachable, match=r"Rank 1 cannot reach rank 0 at 127\.0"):
        join_mesh(roster, 1, made[1], timeout_s=0.3)


def call(roster: Roster, rank: int, hello: handshake.Hello, key: bytes | None = None) -> None:
    """Handshake with a rank; raises what comes of it, also of a link that is closed at once."""
    member = roster.members[rank]
    with socket.create_connection((member.address, member.port), timeout=10) as connection:
        handshake.connect(connection, key or bytes.fromhex(roster.key), hello)
        if not connection.recv(1):
            raise JoinRefused("It was closed.")


@pytest.mark.parametrize(
    "hello",
    [
        {"purpose": "data", "from": 1, "to": 0, "group": "of last time"},
        {"purpose": "data", "from": 1, "to": 1, "group": "g"},
        {"purpose": "data", "from": 0, "to": 0, "group": "g"},
        {"purpose": "data", "from": 99, "to": 0, "group": "g"},
        {"purpose": "data", "from": -1, "to": 0, "group": "g"},
        {"purpose": "data", "from": "1", "to": 0, "group": "g"},
        {"purpose": "else", "from": 1, "to": 0, "group": "g"},
        {"purpose": "data"},
        {},
    ],
    ids=str,
)
def test_one_who_knows_the_key_and_is_not_expected_is_turned_away(
    hello: handshake.Hello,
) -> None:
    roster, made = listeners((1, 1))
    first = Joining(roster, 0, made[0])
    with pytest.raises(JoinRefused, match="closed"):
        call(roster, 0, hello)
    second = Joining(roster, 1, made[1])
    try:
        assert_connected([first.group, second.group])
    finally:
        first.close()
        second.close()


def test_a_second_call_of_the_same_rank_does_not_replace_the_first() -> None:
    roster, made = listeners((1, 1, 1))
    mine: handshake.Hello = {"purpose": "data", "from": 1, "to": 0, "group": "g"}
    first = Joining(roster, 0, made[0])
    with socket.create_connection(made[0].getsockname(), timeout=10) as connection:
        handshake.connect(connection, bytes.fromhex(roster.key), mine)
        with pytest.raises(JoinRefused, match="closed"):
            call(roster, 0, mine)
        third = Joining(roster, 2, made[2], timeout_s=0.5)
        link = first.group.links[1]
        told(link, 5)
        assert connection.recv(4) == struct.pack("<I", 5)
    for each in (first, third):
        each.close()
    made[1].close()


def test_strangers_do_not_disturb_those_who_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "HANDSHAKE_TIMEOUT_S", 0.5)
    roster, made = listeners((1, 1, 1))
    where = [(member.address, member.port) for member in roster.members]
    strangers = []
    first = Joining(roster, 0, made[0])
    for sent in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(3), b"\xff" * 5000):
        stranger = socket.create_connection(where[0], timeout=10)
        stranger.sendall(sent)
        strangers.append(stranger)
    for address in where:
        socket.create_connection(address, timeout=10).close()  # a port scanner
    with pytest.raises(JoinRefused):
        call(roster, 0, {"purpose": "data", "from": 1, "to": 0, "group": "g"}, b"x" * 32)
    rest = [Joining(roster, rank, made[rank]) for rank in (1, 2)]
    try:
        assert_connected([first.group, *(each.group for each in rest)])
    finally:
        for stranger in strangers:
            stranger.close()
        for each in (first, *rest):
            each.close()


def test_a_crowd_of_silent_strangers_holds_only_the_places_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(meshes, "MAX_HANDSHAKES", 4)
    roster, made = listeners((1, 1))
    address = made[0].getsockname()
    first = Joining(roster, 0, made[0])
    crowd = [socket.create_connection(address, timeout=10) for _ in range(12)]
    turned_away = [connection for connection in crowd if connection.recv(1) == b""]
    assert len(turned_away) == 8
    second = Joining(roster, 1, made[1])
    time.sleep(0.3)  # it finds no place, and tries again
    for connection in crowd:
        connection.close()
    try:
        assert_connected([first.group, second.group])
    finally:
        first.close()
        second.close()


def test_nothing_listens_once_all_are_in() -> None:
    roster, made = listeners((1, 1))
    ports = [member.port for member in roster.members]
    joining = [Joining(roster, rank, each) for rank, each in enumerate(made)]
    try:
        assert_connected([each.group for each in joining])
        for port in ports:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=5)
    finally:
        for each in joining:
            each.close()


def test_a_rank_of_another_key_is_refused_at_once() -> None:
    roster, made = listeners((1, 1))
    other, unused = listeners((1, 1))
    first = Joining(roster, 0, made[0], timeout_s=1.0)
    impostor = Roster(group_id="g", key=other.key, members=roster.members)
    with pytest.raises(JoinRefused):
        join_mesh(impostor, 1, made[1])
    first.wait()
    assert isinstance(first.error, HostUnreachable)
    for each in unused:
        each.close()
