"""What is measured at start: the same on all ranks, true of the links, and who leads a host."""

from __future__ import annotations

import socket
import struct
import threading
import time

import numpy as np
import pytest
from tests.engine.comm.groups import at_once, make_groups

from banyan.core.errors import ClusterError
from banyan.engine.comm import measure
from banyan.engine.comm.collective import Buffer
from banyan.engine.comm.collectives import COLLECTIVES
from banyan.engine.comm.group import Group
from banyan.engine.comm.link import Link
from banyan.engine.comm.measure import Matrix, agreed, led_by_fastest, measure_links
from banyan.engine.comm.topology import Topology


class LateLink(Link):
    """A link over which everything is late by ``seconds``."""

    def __init__(self, link: Link, seconds: float) -> None:
        super().__init__(link._socket, peer=link.peer, name=link.name)
        self._seconds = seconds

    def send(self, data: memoryview) -> None:
        time.sleep(self._seconds)
        super().send(data)


class NarrowLink(Link):
    """A link that sends no more than ``bandwidth`` bytes per second."""

    def __init__(self, link: Link, bandwidth: float) -> None:
        super().__init__(link._socket, peer=link.peer, name=link.name)
        self._bandwidth = bandwidth
        self._free = 0.0

    def send_some(self, data: memoryview) -> int:
        now = time.monotonic()
        if now < self._free:
            return 0
        count = super().send_some(data[:4096])
        self._free = max(self._free, now - 0.001) + count / self._bandwidth
        return count


def matrices(groups: list[Group]) -> list[Matrix]:
    return at_once(groups, measure_links)


@pytest.mark.parametrize("hosts", [(1,), (3,), (1, 1), (2, 1, 2)], ids=str)
def test_all_ranks_know_the_same_links(hosts: tuple[int, ...]) -> None:
    found = matrices(make_groups(hosts))
    assert all(matrix == found[0] for matrix in found)
    assert len(found[0]) == len(hosts)
    for row in found[0]:
        assert len(row) == len(hosts)
        assert all(link.latency_s >= 0 and link.bandwidth > 0 for link in row)


def test_a_late_link_is_known_as_late_and_the_others_are_not() -> None:
    groups = make_groups((1, 1, 1))
    for one, other in ((0, 2), (2, 0)):
        links = dict(groups[one].links)
        links[other] = LateLink(links[other], 0.02)
        groups[one] = Group(rank=one, topology=groups[one].topology, links=links, channels={})
    found = matrices(groups)[0]
    assert found[0][2].latency_s == found[2][0].latency_s >= 0.02
    assert found[0][1].latency_s < 0.01
    assert found[1][2].latency_s < 0.01


def test_a_link_may_carry_less_one_way_and_slow_ones_are_not_measured_for_long() -> None:
    groups = make_groups((1, 1))
    narrow = NarrowLink(groups[1].links[0], 2e6)
    groups[1] = Group(rank=1, topology=groups[1].topology, links={0: narrow}, channels={})
    started = time.monotonic()
    found = matrices(groups)[0]
    assert found[1][0].bandwidth < 2.5e6
    assert found[0][1].bandwidth > 2 * found[1][0].bandwidth
    assert time.monotonic() - started < 2  # a whole train would take half a second more


def test_the_rank_that_adds_fastest_leads_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {0: 1.0, 1: 0.5, 2: 1.0, 3: 0.9, 4: 1.0}
    of_thread = threading.local()
    monkeypatch.setattr(measure, "_seconds_to_add", lambda: seconds[of_thread.rank])

    def work(group: Group) -> tuple[int, ...]:
        of_thread.rank = group.rank
        return led_by_fastest(group).topology.masters

    # Rank 3 is not clearly faster than the first rank of its host.
    assert set(at_once(make_groups((2, 2, 1)), work)) == {(1, 2, 4)}


@pytest.mark.parametrize("name", COLLECTIVES)
def test_a_host_may_be_led_by_another_rank_from_one_sum_to_the_next(name: str) -> None:
    def work(group: Group) -> list[bytes]:
        found = []
        for masters in ((0, 2), (1, 3), (1, 2), (0, 2)):
            led = Group(
                rank=group.rank,
                topology=group.topology.led_by(masters),
                links=group.links,
                memory=group.memory,
                channels={},
                round_bytes=group.round_bytes,
            )
            x = np.full(100_000, 2.0**group.rank, np.float32)
            COLLECTIVES[name](led).all_reduce(Buffer(memoryview(x).cast("B"), "float32"))
            found.append(x.tobytes())
        return found

    expected = np.full(100_000, 15, np.float32).tobytes()
    assert at_once(make_groups((2, 2)), work) == [[expected] * 4] * 4


def test_the_first_rank_decides_and_all_hear_it() -> None:
    def work(group: Group) -> object:
        return agreed(
            group,
            {"rank": group.rank},
            lambda words: {"heard": [word["rank"] for word in words]},
        )

    assert at_once(make_groups((2, 1)), work) == [{"heard": [0, 1, 2]}] * 3


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        (struct.pack("<I", 1 << 31), "MAX_WORD_BYTES"),
        (struct.pack("<I", 4) + b"[12]", "no table"),
        (struct.pack("<I", 4) + b"\xff\xfe{}", "no table"),
    ],
)
def test_what_is_no_word_is_refused_by_name(sent: bytes, complaint: str) -> None:
    ours, theirs = socket.socketpair()
    topology = Topology.of([(0,), (1,)])
    group = Group(rank=0, topology=topology, links={1: Link(ours, peer=1)}, channels={})
    with theirs:
        theirs.sendall(sent)
        with pytest.raises(ClusterError, match=complaint) as refusal:
            agreed(group, {}, lambda words: {})
    assert "rank 1" in str(refusal.value)
    group.close()
