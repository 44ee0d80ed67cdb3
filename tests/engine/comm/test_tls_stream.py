"""A control connection under TLS: nobody between can read, change, impersonate or talk it down."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from tests.engine.comm.certificates import pem

from banyan.core.errors import ClusterError, HostUnreachable, JoinRefused
from banyan.engine.comm import handshake
from banyan.engine.comm.certificate import fingerprint_of_pem, make_certificate
from banyan.engine.comm.handshake import MAGIC, SECURE
from banyan.engine.comm.stream import Stream
from banyan.engine.comm.tls import accepting
from banyan.engine.comm.tls_stream import TlsStream

KEY = b"k" * 32
BYTES = 4 << 20
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The accepting and the connecting end."""
    ends = socket.socketpair()
    ends[1].settimeout(10)
    yield ends
    for end in ends:
        end.close()


class Working(threading.Thread):
    """What ``work`` returned or raised, in a thread of its own."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._found: object = None
        self.start()

    def run(self) -> None:
        try:
            self._found = self._work()
        except (ClusterError, OSError) as error:
            self._found = error

    @property
    def found(self) -> object:
        self.join(20)
        assert not self.is_alive()
        return self._found


def head(end: socket.socket, *, timeout_s: float = 5.0) -> Working:
    """A head that takes only hosts that use TLS."""

    def work() -> Stream:
        stream = TlsStream.accept(end, accepting(pem()), timeout_s=timeout_s)
        handshake.accept(stream, KEY, certificate=fingerprint_of_pem(pem()))
        return stream

    return Working(work)


def host(end: socket.socket) -> TlsStream:
    """A host that joins with --tls."""
    stream = TlsStream.connect(end)
    handshake.connect(stream, KEY, {}, certificate=stream.fingerprint)
    return stream


def both(pair: Pair) -> tuple[TlsStream, TlsStream]:
    accepted = head(pair[0])
    connected = host(pair[1])
    found = accepted.found
    assert isinstance(found, TlsStream)
    return found, connected


def read(stream: Stream, length: int) -> bytes:
    found = bytearray()
    while len(found) < length and (part := stream.recv(length - len(found))):
        found += part
    return bytes(found)


def test_long_messages_cross_both_ways_at_once(pair: Pair) -> None:
    one, other = both(pair)
    sent = [bytes([number]) * BYTES for number in (1, 2)]
    sending = [Working(lambda: one.sendall(sent[0])), Working(lambda: other.sendall(sent[1]))]
    got = Working(lambda: read(one, BYTES))
    assert read(other, BYTES) == sent[0]
    assert got.found == sent[1]
    assert [thread.found for thread in sending] == [None, None]


def test_a_time_out_and_the_end_are_those_of_the_socket(pair: Pair) -> None:
    one, other = both(pair)
    assert one.gettimeout() is None
    one.settimeout(0.1)
    with pytest.raises(TimeoutError):
        one.recv(1)
    other.close()
    assert one.recv(1) == b""


def test_nothing_said_can_be_read_or_changed_on_the_way(pair: Pair) -> None:
    near, far = socket.socketpair()
    far.settimeout(10)
    accepted = head(pair[0])
    connected = Working(lambda: host(far))
    heard = bytearray()
    stop = time.monotonic() + 20
    for end in (near, pair[1]):
        end.settimeout(0.05)
    while connected.is_alive() or accepted.is_alive():
        assert time.monotonic() < stop
        for source, target in ((pair[1], near), (near, pair[1])):
            try:
                data = source.recv(1 << 16)
            except TimeoutError:
                continue
            heard += data
            target.sendall(data)
    one, other = accepted.found, connected.found
    assert isinstance(one, TlsStream)
    assert isinstance(other, TlsStream)
    other.sendall(b"the weights of the model")
    record = bytearray(near.recv(1 << 16))
    assert b"the weights" not in heard + record
    record[-1] ^= 1
    pair[1].sendall(record)
    with pytest.raises(ssl.SSLError):
        one.recv(100)
    near.close()
    far.close()


def test_a_host_without_tls_is_told_to_use_it(pair: Pair) -> None:
    refusing = head(pair[0], timeout_s=0.5)
    with pytest.raises(JoinRefused, match="only hosts that use TLS"):
        handshake.connect(pair[1], KEY, {})
    pair[1].close()
    assert isinstance(refusing.found, (JoinRefused, HostUnreachable))


def test_a_head_without_tls_is_refused_whoever_took_it_away(pair: Pair) -> None:
    pair[0].sendall(MAGIC + bytes(32))
    with pytest.raises(JoinRefused, match="does not use TLS") as refused:
        host(pair[1])
    assert "--tls" in refused.value.remedy


def between(head_end: socket.socket, host_end: socket.socket, change: bytes = b"") -> None:
    """One with a certificate of his own who passes on the handshake; ``change`` is the verdict he
    would like."""
    outward = TlsStream.accept(host_end, accepting(make_certificate()))
    inward = TlsStream.connect(head_end)
    outward.sendall(inward.recv(1 << 12))
    inward.sendall(outward.recv(1 << 12))
    verdict = read(inward, 33)
    outward.sendall(change + verdict[len(change) :])


@pytest.mark.parametrize("change", [b"", handshake._ACCEPTED], ids=["passed-on", "changed"])
def test_somebody_between_with_his_own_certificate_is_found_by_both(
    pair: Pair, change: bytes
) -> None:
    near, far = socket.socketpair()
    refusing = head(pair[0])
    attack = Working(lambda: between(pair[1], near, change))
    with near, far:
        with pytest.raises(
            JoinRefused, match="token is wrong" if change else "somebody is between"
        ):
            host(far)
        assert attack.found is None
    assert "another certificate" in str(refusing.found)


def test_one_who_strips_tls_from_a_host_gets_no_further_at_the_head(pair: Pair) -> None:
    near, far = socket.socketpair()
    refusing = head(pair[0])

    def strip() -> None:
        inward = TlsStream.connect(pair[1])
        near.sendall(inward.recv(1 << 12))
        inward.sendall(near.recv(1 << 12))
        near.sendall(read(inward, 33))

    attack = Working(strip)
    with near, far:
        with pytest.raises(JoinRefused, match="somebody is between"):
            handshake.connect(far, KEY, {})
        assert attack.found is None
    assert isinstance(refusing.found, JoinRefused)


@pytest.mark.parametrize("said", [b"", b"\x16", b"\x16\x03\x01\x02\x00" + bytes(20)], ids=repr)
def test_one_who_never_gets_on_with_it_is_left_in_time(pair: Pair, said: bytes) -> None:
    began = time.monotonic()
    refusing = head(pair[0], timeout_s=0.3)
    pair[1].sendall(said)
    assert "0.3 s" in str(refusing.found)
    assert time.monotonic() - began < 5


def test_a_trickle_does_not_hold_the_head_longer(pair: Pair) -> None:
    refusing = head(pair[0], timeout_s=0.4)
    began = time.monotonic()
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
    for byte in hello:
        try:
            pair[1].sendall(bytes([byte]))
        except OSError:
            break
        if not refusing.is_alive():
            break
        time.sleep(0.05)
    assert isinstance(refusing.found, HostUnreachable)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n\r\n", MAGIC + bytes(100), bytes(300)], ids=repr
)
def test_what_is_not_tls_is_refused(pair: Pair, said: bytes) -> None:
    refusing = head(pair[0])
    pair[1].sendall(said)
    pair[1].shutdown(socket.SHUT_WR)
    assert isinstance(refusing.found, (JoinRefused, HostUnreachable))


def test_tls_below_1_3_is_refused(pair: Pair) -> None:
    refusing = head(pair[0])
    assert pair[1].recv(len(SECURE)) == SECURE
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        old.wrap_socket(pair[1])
    assert isinstance(refusing.found, JoinRefused)


def test_another_service_is_not_taken_for_ours(pair: Pair) -> None:
    pair[0].sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
    with pytest.raises(JoinRefused, match="does not speak Banyan's protocol"):
        host(pair[1])


def test_one_who_hangs_up_before_tls_begins_may_be_tried_again(pair: Pair) -> None:
    pair[0].close()
    with pytest.raises(HostUnreachable, match="hung up"):
        host(pair[1])
