"""Strangers, liars and broken peers: each is turned away by name, and the running group goes on."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine.cluster.toys import CONFIG, TOKEN, Toys, toys, use_toy_ranks, wait_until
from tests.engine.toy import write_toy

from banyan.core.context import Context
from banyan.core.errors import ClusterDown, ClusterError, HostUnreachable, JoinRefused
from banyan.engine.cluster import control, forming
from banyan.engine.cluster.control import CONTROL, MAX_CONTROL_BYTES
from banyan.engine.comm import handshake
from banyan.engine.wire import Channel, Json

REPORT = {"name": "x", "ranks": 1, "device": "cpu", "cores": 1, "memory_bytes": 1 << 30}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toys]:
    with pytest.MonkeyPatch.context() as patch:
        use_toy_ranks(patch)
        with toys(tmp_path_factory.mktemp("running"), hosts=1) as found:
            found.join("attic")
            found.form()
            yield found


@pytest.fixture
def cluster(running: Toys) -> Iterator[Toys]:
    """A running group of two hosts, which must still run at the end, by the same processes."""
    processes = running.rank_pids()
    yield running
    running.refusals.clear()
    assert running.head.status().state == "ready"
    assert running.replica.cause == ""
    assert running.rank_pids() == processes


def connected(cluster: Toys) -> socket.socket:
    return socket.create_connection(("127.0.0.1", cluster.head.port), timeout=10)


def is_closed(connection: socket.socket) -> bool:
    """Whether the other end hangs up, whatever it says before."""
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


def admitted(cluster: Toys) -> tuple[socket.socket, Channel]:
    """A control connection by one who knows the token."""
    connection = connected(cluster)
    handshake.connect(connection, TOKEN.encode(), {"purpose": CONTROL})
    return connection, Channel(connection)


def refused(cluster: Toys) -> Exception:
    wait_until(lambda: cluster.refusals)
    return cluster.refusals[0]


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b"x" * 200,
        b"\x16\x03\x01" + bytes(300),
        handshake.MAGIC + bytes(32) + struct.pack(">H", 65535) + bytes(500),
        bytes(4096),
    ],
    ids=["http", "tls", "long-hello", "zeros"],
)
def test_garbage_is_hung_up_on(cluster: Toys, garbage: bytes) -> None:
    with connected(cluster) as stranger:
        stranger.sendall(garbage)
        assert is_closed(stranger)


def test_half_a_handshake_is_hung_up_on_in_time(
    cluster: Toys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshake.accept, "__kwdefaults__", {"timeout_s": 0.3})
    with connected(cluster) as stranger:
        stranger.sendall(handshake.MAGIC + bytes(7))
        assert is_closed(stranger)


def test_a_port_scanner_disturbs_nobody(cluster: Toys) -> None:
    for _ in range(200):
        connected(cluster).close()


def test_a_wrong_token_is_refused_with_its_own_message(cluster: Toys) -> None:
    cluster.join("cellar", token="guessed")
    error = refused(cluster)
    assert isinstance(error, JoinRefused)
    assert "token" in str(error)


def test_another_version_is_refused_with_its_own_message(
    cluster: Toys, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = handshake.json.dumps
    monkeypatch.setattr(
        handshake.json, "dumps", lambda v, **o: real({**v, "version": "0.0.0"}, **o)
    )
    with connected(cluster) as other, pytest.raises(JoinRefused, match="another version"):
        handshake.connect(other, TOKEN.encode(), {"purpose": CONTROL})


def test_an_unreachable_port_is_named(cluster: Toys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    cluster.join("cellar", port=port)
    error = refused(cluster)
    assert isinstance(error, HostUnreachable)
    assert str(port) in str(error)


def test_a_host_listed_twice_is_refused(cluster: Toys) -> None:
    cluster.join("attic")
    error = refused(cluster)
    assert isinstance(error, JoinRefused)
    assert "'attic' is here already" in str(error)


def test_one_host_too_many_is_refused(cluster: Toys) -> None:
    cluster.join("cellar")
    assert "1 hosts are here already" in str(refused(cluster))


def test_an_overheard_handshake_opens_nothing(cluster: Toys) -> None:
    """Everything a host once sent, sent again."""
    said = bytearray()
    ours, theirs = socket.socketpair()
    with connected(cluster) as upstream, ours, theirs:

        def relay() -> None:
            theirs.sendall(upstream.recv(40))
            said.extend(theirs.recv(4096))
            upstream.sendall(bytes(said))
            theirs.sendall(upstream.recv(33))

        thread = threading.Thread(target=relay)
        thread.start()
        handshake.connect(ours, TOKEN.encode(), {"purpose": CONTROL})
        thread.join()
    with connected(cluster) as replay:
        replay.sendall(bytes(said))
        answer = replay.recv(40) + replay.recv(33)
        assert answer[40:41] == b"\x01"
        assert is_closed(replay)


LENGTH_OF_2_63 = (1 << 63).to_bytes(8, "big")


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence alone ends no conversation in time for a test."""
    monkeypatch.setattr(control, "DEAD_S", 60.0)


@pytest.mark.usefixtures("patience")
def test_a_length_of_2_to_the_63_is_not_waited_for(cluster: Toys) -> None:
    """Of the eight bytes the first four are a length by themselves, and far beyond the cap."""
    connection, _ = admitted(cluster)
    with connection:
        connection.sendall(LENGTH_OF_2_63)
        assert is_closed(connection)


def test_half_a_frame_is_not_waited_for_longer_than_silence(
    cluster: Toys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "DEAD_S", 1.0)
    connection, _ = admitted(cluster)
    with connection:
        connection.sendall(struct.pack(">I", 100) + b'{"op":')
        assert is_closed(connection)


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("length", [2**32 - 1, MAX_CONTROL_BYTES + 1])
def test_an_announced_length_beyond_the_cap_is_not_waited_for(cluster: Toys, length: int) -> None:
    connection, _ = admitted(cluster)
    with connection:
        connection.sendall(struct.pack(">I", length) + b"x" * 64)
        assert is_closed(connection)


@pytest.mark.parametrize(
    "frame",
    [
        {"op": "hello"},
        {"op": "hello", "report": 7},
        {"op": "hello", "report": {"name": "x"}},
        {
            "op": "hello",
            "report": {
                "name": "liar",
                "ranks": 10**9,
                "device": "cpu",
                "cores": 1,
                "memory_bytes": 1,
            },
        },
        {"op": "prepared", "ports": {"0": 1}},
        {"op": ["x"]},
        {},
    ],
    ids=lambda frame: str(frame)[:40],
)
def test_frames_that_make_no_sense_end_the_conversation(
    cluster: Toys, frame: dict[str, object]
) -> None:
    connection, channel = admitted(cluster)
    with connection:
        channel.send(frame)
        assert is_closed(connection)


@pytest.mark.parametrize(
    "message",
    [
        b'{"op":"prepared","ports":[1]}',
        b'{"op":"prepared","ports":[{"rank":1,"port":99999}]}',
        b'{"op":"beat","memory_used_bytes":Infinity}',
        b'{"op":"beat","memory_used_bytes":' + b"9" * 5000 + b"}",
        b'{"op":"beat","ranks":[{"rank":1,"rss_bytes":-1}]}',
        b'{"op":"rank","group":1,"state":{}}',
        b'{"op":"stop"}',
        b"7",
        b"\xff\xfe",
        b"[" * 500_000,
    ],
    ids=lambda message: repr(message[:40]),
)
def test_a_host_that_talks_nonsense_is_let_go_and_the_others_form_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: bytes
) -> None:
    use_toy_ranks(monkeypatch)
    with toys(tmp_path, hosts=1) as waiting:
        connection = connected(waiting)
        handshake.connect(connection, TOKEN.encode(), {"purpose": CONTROL})
        with connection:
            Channel(connection).send({"op": "hello", "report": REPORT})
            wait_until(lambda: waiting.head.missing == 0)
            connection.sendall(struct.pack(">I", len(message)) + message)
            assert is_closed(connection)
        wait_until(lambda: waiting.head.missing == 1)
        waiting.join("attic")
        waiting.form()


def prepared(channel: Channel, message: Json) -> None:
    """What a host answers that is asked for one rank."""
    (rank,) = message["ranks"]
    ports = [{"rank": rank, "port": 4000}]
    channel.send({"op": "prepared", "group": message["group"], "ports": ports})


def test_ports_of_ranks_that_were_not_given_are_refused_by_name(tmp_path: Path) -> None:
    def answer(channel: Channel, message: Json) -> None:
        if message["op"] == "prepare":
            ports = [{"rank": 0, "port": 4000}]
            channel.send({"op": "prepared", "group": message["group"], "ports": ports})

    with toys(tmp_path, hosts=1) as waiting:
        waiting.liar("attic", answer)
        with pytest.raises(ClusterDown, match=r"attic .*ports for the ranks \[0\].*\[1\]"):
            waiting.form()


def test_a_host_that_cannot_listen_where_it_is_seen_says_so(tmp_path: Path) -> None:
    def answer(channel: Channel, message: Json) -> None:
        if message["op"] == "prepare":
            told = "Its ranks cannot listen at 10.9.9.9."
            channel.send({"op": "unable", "group": message["group"], "message": told})

    with toys(tmp_path, hosts=1) as waiting:
        waiting.liar("attic", answer)
        with pytest.raises(ClusterError, match=r"attic .*cannot listen at 10\.9\.9\.9"):
            waiting.form()


def test_a_host_that_speaks_for_ranks_of_another_is_let_go(tmp_path: Path) -> None:
    def answer(channel: Channel, message: Json) -> None:
        if message["op"] == "prepare":
            prepared(channel, message)
        elif message["op"] == "start":
            group = message["formation"]["roster"]["group_id"]
            channel.send({"op": "rank", "group": group, "state": {"rank": 0, "state": "ready"}})

    with toys(tmp_path, hosts=1) as waiting:
        waiting.liar("attic", answer)
        with contextlib.suppress(ClusterDown):  # it may be found before the forming is through
            waiting.form()
        wait_until(lambda: waiting.replica.cause)
        cause = waiting.replica.cause
    assert "Host attic" in cause
    assert "rank 0 is not one of its ranks" in cause


def test_news_of_a_group_that_is_over_blame_nobody(tmp_path: Path) -> None:
    def answer(channel: Channel, message: Json) -> None:
        if message["op"] == "prepare":
            prepared(channel, message)
        elif message["op"] == "start":
            group = message["formation"]["roster"]["group_id"]
            for name, state in (("over", "failed"), (group, "ready")):
                channel.send({"op": "rank", "group": name, "state": {"rank": 1, "state": state}})

    with toys(tmp_path, hosts=1) as waiting:
        waiting.liar("attic", answer)
        (replica,) = waiting.deal()
        with contextlib.closing(replica.form(waiting.path, "toy", CONFIG, Context())):
            group = replica.group
            assert group is not None
            wait_until(lambda: 1 in group.states)
            assert group.states[1].state == "ready"
            assert replica.cause == ""


def test_a_host_that_prepares_nothing_is_named_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forming, "PREPARE_S", 0.3)
    with toys(tmp_path, hosts=1) as waiting:
        waiting.liar("attic", lambda channel, message: None)
        with pytest.raises(HostUnreachable, match=r"Host attic .*did not prepare its ranks"):
            waiting.form()


def test_a_host_that_goes_while_the_group_forms_is_named(tmp_path: Path) -> None:
    def answer(channel: Channel, message: Json) -> None:
        if message["op"] == "prepare":
            channel.close()

    with toys(tmp_path, hosts=1) as waiting:
        waiting.liar("attic", answer)
        with pytest.raises(ClusterDown, match=r"Host attic .*left while the group was formed"):
            waiting.form()


def test_an_accept_that_fails_does_not_close_the_lobby(
    cluster: Toys, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = socket.socket.accept, []

    def accept(listener: socket.socket) -> object:
        if len(failures) < 3:
            failures.append(1)
            raise OSError(errno.EMFILE, "too many open files")
        return real(listener)

    monkeypatch.setattr(socket.socket, "accept", accept)
    connected(cluster).close()  # wakes the accept that was under way
    wait_until(lambda: len(failures) == 3)
    connection, _ = admitted(cluster)
    connection.close()


def test_a_slice_is_not_given_to_who_names_no_rank_of_this_group(cluster: Toys) -> None:
    for claim in ({"group": "other", "rank": 1}, {"group": "", "rank": 0}):
        with connected(cluster) as stranger:
            handshake.connect(stranger, TOKEN.encode(), {"purpose": "slice", **claim})  # type: ignore[dict-item]  # ints and texts
            assert is_closed(stranger)


def test_a_checkpoint_that_differs_is_refused_with_both_digests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_toy_ranks(monkeypatch)
    other = write_toy(tmp_path / "other", context=128)
    with toys(tmp_path, hosts=1) as cluster:
        cluster.join("attic", find=lambda name: other)
        with pytest.raises(Exception, match="not the same checkpoint"):
            cluster.form()
