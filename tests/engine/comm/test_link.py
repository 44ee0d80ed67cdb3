"""Links, and pumps over many: all bytes arrive, nothing waits for ever, losses are named."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banyan.core.errors import PeerLost
from banyan.engine.comm.link import Link, Pump

BIG = 8 << 20
"""More than the buffers of a connection hold."""


def tcp_pair() -> tuple[Link, Link]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    return Link(one, peer=1, name="rank 1 on host b"), Link(other, peer=0)


@pytest.fixture
def pair() -> Iterator[tuple[Link, Link]]:
    ends = tcp_pair()
    yield ends
    for end in ends:
        end.close()


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def test_bytes_arrive_in_order_whatever_the_pieces(pair: tuple[Link, Link]) -> None:
    one, other = pair
    data = noise(300_000)
    thread = threading.Thread(target=lambda: one.send(memoryview(data)))
    thread.start()
    received = bytearray(len(data))
    for begin in range(0, len(data), 70_001):
        other.recv_into(memoryview(received)[begin : begin + 70_001])
    thread.join(10)
    assert received == data


def test_a_link_that_spins_sleeps_when_the_rest_takes_longer(pair: tuple[Link, Link]) -> None:
    one, other = pair
    other.spin_s = 0.02
    data, received = noise(1000), bytearray(1000)
    one.send(memoryview(data)[:300])
    rest = threading.Timer(0.1, lambda: one.send(memoryview(data)[300:]))
    rest.start()
    other.recv_into(memoryview(received))
    rest.join(10)
    assert received == data


def test_a_link_that_spins_tells_when_its_peer_has_gone(pair: tuple[Link, Link]) -> None:
    one, other = pair
    one.spin_s = 10.0
    other.close()
    with pytest.raises(PeerLost, match="rank 1 on host b"):
        one.recv_into(memoryview(bytearray(1)))


def test_nothing_waits_where_nothing_can_move(pair: tuple[Link, Link]) -> None:
    one, other = pair
    assert other.recv_some(memoryview(bytearray(10))) == 0
    sent = 0
    while count := one.send_some(memoryview(bytes(1 << 20))):
        sent += count
    assert sent > 0


def test_two_that_send_more_than_the_buffers_hold_at_once_do_not_block_each_other(
    pair: tuple[Link, Link],
) -> None:
    received: dict[int, bytearray] = {}

    def work(link: Link) -> None:
        mine = received[link.peer] = bytearray(BIG)
        pump = Pump([link])
        pump.send(link, memoryview(noise(BIG, seed=link.peer)))
        pump.expect(link, memoryview(mine))
        pump.run()

    threads = [threading.Thread(target=work, args=(link,)) for link in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert received[0] == noise(BIG, seed=1)
    assert received[1] == noise(BIG, seed=0)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.lists(st.integers(0, 40_000), max_size=4), min_size=3, max_size=3),
    begun=st.booleans(),
)
def test_a_pump_moves_many_messages_of_many_links_in_order(
    sizes: list[list[int]], begun: bool
) -> None:
    near, far = zip(*(tcp_pair() for _ in sizes), strict=True)
    data = [[noise(size, seed=size) for size in each] for each in sizes]
    try:
        pump, peers = Pump(near), Pump(far)
        received = [[bytearray(size) for size in each] for each in sizes]
        for link, peer, out, into in zip(near, far, data, received, strict=True):
            for message, space in zip(out, into, strict=True):
                pump.send(link, memoryview(message))
                if begun:
                    pump.turn(wait=False)
                peers.expect(peer, memoryview(space))
        thread = threading.Thread(target=pump.run)
        thread.start()
        peers.run()
        thread.join(10)
        assert [[bytes(space) for space in each] for each in received] == data
        assert [peers.received(link) for link in far] == [sum(each) for each in sizes]
        assert not pump.busy
        assert not peers.busy
    finally:
        for link in (*near, *far):
            link.close()


def test_a_pump_with_nothing_to_do_does_not_wait(pair: tuple[Link, Link]) -> None:
    pump = Pump(pair[:1])
    pump.send(pair[0], memoryview(b""))
    pump.expect(pair[0], memoryview(bytearray()))
    pump.turn(wait=True)
    assert not pump.busy


def test_a_peer_that_closed_is_named_by_every_call(pair: tuple[Link, Link]) -> None:
    one, other = pair
    other.close()
    with pytest.raises(PeerLost, match="rank 1 on host b closed"):
        one.recv_into(memoryview(bytearray(1)))
    with pytest.raises(PeerLost, match="rank 1 on host b"):
        one.recv_some(memoryview(bytearray(1)))
    with pytest.raises(PeerLost, match="rank 1 on host b"):
        while True:
            one.send(memoryview(bytes(1 << 16)))
    with pytest.raises(PeerLost, match="rank 1 on host b"):
        one.send_some(memoryview(bytes(1)))


def test_what_came_before_the_end_is_still_read(pair: tuple[Link, Link]) -> None:
    one, other = pair
    other.send(memoryview(b"last"))
    other.close()
    buffer = bytearray(4)
    one.recv_into(memoryview(buffer))
    assert buffer == b"last"
    with pytest.raises(PeerLost):
        one.recv_into(memoryview(buffer))


def test_a_pump_that_waits_learns_that_a_peer_goes(pair: tuple[Link, Link]) -> None:
    one, other = pair
    pump = Pump([one])
    pump.expect(one, memoryview(bytearray(100)))
    other.send(memoryview(bytes(50)))
    threading.Timer(0.1, other.close).start()
    with pytest.raises(PeerLost, match="rank 1 on host b"):
        pump.run()


def test_closing_twice_and_after_the_peer_is_harmless(pair: tuple[Link, Link]) -> None:
    for link in (*pair, *pair):
        link.close()


@pytest.mark.long
def test_a_peer_that_is_busy_for_long_is_not_taken_for_lost(pair: tuple[Link, Link]) -> None:
    one, other = pair
    data, received = noise(BIG), bytearray(BIG)

    def late() -> None:
        time.sleep(8)  # twice as long as a silent peer is waited for
        other.recv_into(memoryview(received))

    thread = threading.Thread(target=late)
    thread.start()
    one.send(memoryview(data))
    thread.join(30)
    assert received == data
