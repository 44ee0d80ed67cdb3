"""Hosts measure the links between them before anyone knows who will compute what."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from banyan.core.errors import ClusterError
from banyan.engine.cluster import probe as module
from banyan.engine.cluster.probe import Links, probe, roster_of
from banyan.engine.comm.mesh import join_mesh
from banyan.engine.comm.roster import Roster


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]


@pytest.fixture
def roster(listeners: list[socket.socket]) -> Roster:
    return roster_of([("127.0.0.1", listener.getsockname()[1]) for listener in listeners])


def test_every_host_learns_all_links_both_ways(
    roster: Roster, listeners: list[socket.socket]
) -> None:
    with ThreadPoolExecutor(3) as pool:
        found: list[Links] = list(
            pool.map(lambda host: probe(roster, host, listeners[host]), range(3))
        )
    assert found[0] == found[1] == found[2]
    assert set(found[0]) == {(i, j) for i in range(3) for j in range(3) if i != j}
    for link in found[0].values():
        assert link.is_measured
        assert 0 < link.latency_s < 0.1
        assert link.bandwidth > 1e6


def test_a_host_that_does_not_come_is_not_waited_for_long(
    roster: Roster, listeners: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MEET_S", 0.3)
    began = time.monotonic()
    with pytest.raises(ClusterError, match="not called in time by rank 1"):
        probe(roster, 0, listeners[0])
    assert time.monotonic() - began < 3


def test_a_host_that_stops_in_the_middle_is_not_waited_for_either(
    listeners: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROBE_S", 0.3)
    two = roster_of([("127.0.0.1", listener.getsockname()[1]) for listener in listeners[:2]])
    with ThreadPoolExecutor(1) as pool:
        silent = pool.submit(join_mesh, two, 1, listeners[1])
        with pytest.raises(ClusterError):
            probe(two, 0, listeners[0])
        silent.result(5).close()
