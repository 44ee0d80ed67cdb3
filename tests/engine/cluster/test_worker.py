"""A host serves its head, leaves when it is told to, and comes back to a head that went."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path

import pytest
from tests.engine.cluster.broken_wire import Wire
from tests.engine.cluster.toys import Toys, absent, toys, use_toy_ranks, wait_until

from banyan.core.context import Context
from banyan.core.errors import HostUnreachable, InputError, JoinRefused
from banyan.core.layout import Budget
from banyan.engine.cluster import part
from banyan.engine.cluster.frames import Prepare, RankNews
from banyan.engine.cluster.part import Part
from banyan.engine.cluster.slice_cache import SliceCache
from banyan.engine.comm import handshake


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    use_toy_ranks(monkeypatch)


def test_a_host_that_leaves_says_so_and_its_ranks_end(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=1) as cluster:
        leaving = cluster.join("attic")
        cluster.form()
        leaving.cancel.set()
        wait_until(lambda: cluster.replica.cause)
        assert "Host attic (127.0.0.1) is lost. It left the cluster." in cluster.replica.cause
        cluster.join("attic")
        cluster.form()


def test_a_host_comes_back_when_its_head_has_been_started_again(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=1) as cluster:
        cluster.join("attic")
        cluster.form()
        port = cluster.head.port
        cluster.head.close()
        time.sleep(1.0)  # it tries in vain meanwhile
        again = Toys(tmp_path, hosts=1, port=port)
        try:
            again.form()
            assert again.head.status().state == "ready"
        finally:
            again.close()
        assert [event for event in cluster.events if event.startswith("The head is gone")]
        assert cluster.refusals == []


@pytest.mark.long
def test_a_partition_is_found_by_both_ends_and_heals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshake.connect, "__kwdefaults__", {"timeout_s": 1.0, "certificate": ""})
    with toys(tmp_path, hosts=1) as cluster, Wire(cluster.head.port) as wire:
        cluster.join("attic", port=wire.port)
        cluster.form()
        wire.swallow()
        began = time.monotonic()
        wait_until(lambda: cluster.replica.cause)
        assert time.monotonic() - began < 8
        assert "Host attic" in cluster.replica.cause
        assert "the network between is down" in cluster.replica.cause
        wait_until(lambda: [one for one in cluster.events if "has not answered" in one])
        wire.heal()
        cluster.form()
        assert cluster.refusals == []


def test_a_host_whose_old_connection_the_head_still_holds_takes_its_place(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=1) as cluster, Wire(cluster.head.port) as wire:
        cluster.join("attic", port=wire.port)
        cluster.form()
        wire.hang_up_on_host()
        wait_until(lambda: cluster.replica.cause)
        assert "It has come back over another connection" in cluster.replica.cause
        cluster.form()
        assert cluster.refusals == []


def test_another_host_of_that_name_does_not_take_the_place(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=1) as cluster:
        cluster.join("attic")
        cluster.form()
        cluster.join("attic")
        wait_until(lambda: cluster.refusals)
        assert cluster.head.status().state == "ready"


def test_a_port_that_speaks_something_else_is_named(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=1) as cluster, socket.create_server(("127.0.0.1", 0)) as web:

        def answer() -> None:
            connection, _ = web.accept()
            with connection, contextlib.suppress(ConnectionError):
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        cluster.join("attic", port=web.getsockname()[1])
        wait_until(lambda: cluster.refusals)
        thread.join()
        error = cluster.refusals[0]
        assert isinstance(error, JoinRefused)
        assert "not the one of the web page" in error.remedy


@pytest.mark.parametrize(
    "wrong", [{"name": "two\nlines"}, {"name": "attic", "device": "tpu"}], ids=str
)
def test_what_no_host_can_be_is_refused_before_it_connects(
    tmp_path: Path, wrong: dict[str, str]
) -> None:
    with toys(tmp_path, hosts=1) as cluster:
        cluster.join(**wrong)  # type: ignore[arg-type]  # texts
        wait_until(lambda: cluster.refusals)
        assert isinstance(cluster.refusals[0], InputError)


def test_where_a_host_cannot_listen_it_says_so_and_stays(tmp_path: Path) -> None:
    news: list[RankNews] = []
    with pytest.raises(Exception, match=r"cannot listen at 203\.0\.113\.9"):
        a_part(tmp_path, Prepare(group="g", ranks=(1,), address="203.0.113.9"), news)


def test_a_slice_that_is_being_fetched_ends_with_its_group_and_blames_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of an old group must not look like a failure of the next one."""
    ours, theirs = socket.socketpair()
    news: list[RankNews] = []
    fetching = threading.Event()

    def receive(connection: socket.socket, *_: object) -> None:
        fetching.set()
        if not connection.recv(1):
            raise HostUnreachable("the head hung up in the middle of it")

    monkeypatch.setattr(part, "receive_slice", receive)
    with toys(tmp_path, hosts=1) as cluster, theirs:
        cluster.join("attic", find=lambda name: cluster.path)
        cluster.form()
        group = cluster.replica.group
        assert group is not None
        found = a_part(tmp_path, Prepare(group="g", ranks=(1,), address="127.0.0.1"), news, ours)
        found.start(group.formation)
        assert fetching.wait(10)
        found.close()
        assert news == []


def a_part(
    folder: Path, order: Prepare, news: list[RankNews], connection: socket.socket | None = None
) -> Part:
    def call(hello: object) -> socket.socket:
        assert connection is not None
        return connection

    return Part(
        order,
        find=absent,
        slices=SliceCache(folder / "slices", 1 << 30),
        budget=Budget(),
        call=call,
        on_news=news.append,
        on_event=lambda event: None,
    )


def test_a_head_that_is_not_there_at_first_is_an_error(tmp_path: Path) -> None:
    with toys(tmp_path, hosts=1) as cluster:
        port = cluster.head.port
        cluster.head.close()
        context: Context = cluster.join("attic", port=port)
        wait_until(lambda: cluster.refusals)
        assert isinstance(cluster.refusals[0], HostUnreachable)
        assert not context.cancel.is_set()
