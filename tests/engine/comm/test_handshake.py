"""The handshake: who knows the key gets through; whatever else comes is turned away in bounded time
and memory."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banyan.core.errors import ClusterError, HostUnreachable, JoinRefused
from banyan.engine.comm import handshake
from banyan.engine.comm.handshake import MAC_BYTES, MAGIC, MAX_HELLO_BYTES, NONCE_BYTES

KEY = b"k" * 32
HELLO: handshake.Hello = {"purpose": "data", "from": 3, "to": 1, "group": "g"}


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The accepting and the connecting end."""
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def accepted(
    end: socket.socket, key: bytes = KEY, timeout_s: float = 5.0, certificate: str = ""
) -> list[object]:
    """What the accepting end makes of the other, filled in once its thread has ended."""
    found: list[object] = []

    def work() -> None:
        try:
            hello = handshake.accept(end, key, certificate=certificate, timeout_s=timeout_s)
            found.append(hello)
        except ClusterError as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    found.append(thread)
    return found


def outcome(found: list[object]) -> object:
    thread = found[0]
    assert isinstance(thread, threading.Thread)
    thread.join(10)
    assert not thread.is_alive()
    return found[1]


def overheard(pair: tuple[socket.socket, socket.socket]) -> tuple[bytes, bytes]:
    """A whole handshake through one who listens: what either end said."""
    accepting, connecting = pair
    near, far = socket.socketpair()
    found = accepted(accepting)
    thread = threading.Thread(target=handshake.connect, args=(far, KEY, HELLO))
    thread.start()
    challenge = connecting.recv(1 << 12)
    near.sendall(challenge)
    answer = near.recv(1 << 12)
    connecting.sendall(answer)
    verdict = connecting.recv(1 << 12)
    near.sendall(verdict)
    thread.join(10)
    assert not isinstance(outcome(found), Exception)
    near.close()
    far.close()
    return challenge + verdict, answer


def test_both_ends_that_know_the_key_get_through(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    found = accepted(pair[0])
    handshake.connect(pair[1], KEY, HELLO)
    said = outcome(found)
    assert isinstance(said, dict)
    assert HELLO.items() <= said.items()


def test_the_stream_is_clean_and_has_its_own_time_out_after_it(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    pair[1].settimeout(7.5)
    found = accepted(pair[0])
    handshake.connect(pair[1], KEY, HELLO)
    pair[1].sendall(b"first")
    outcome(found)
    assert pair[0].recv(100) == b"first"
    assert pair[1].gettimeout() == 7.5
    assert pair[0].gettimeout() is None


def test_a_wrong_key_is_refused_on_both_ends_and_says_so(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    found = accepted(pair[0])
    with pytest.raises(JoinRefused, match="token is wrong"):
        handshake.connect(pair[1], b"x" * 32, HELLO)
    assert isinstance(outcome(found), JoinRefused)


def test_one_who_accepts_without_knowing_the_key_is_found_out(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    accepting, connecting = pair
    accepting.sendall(MAGIC + bytes(NONCE_BYTES) + b"\x00" + bytes(MAC_BYTES))
    with pytest.raises(JoinRefused):
        handshake.connect(connecting, KEY, HELLO)


def test_one_who_sends_our_own_proof_back_is_found_out(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    accepting, connecting = pair

    def mirror() -> None:
        accepting.sendall(MAGIC + bytes(NONCE_BYTES))
        accepting.sendall(b"\x00" + accepting.recv(1 << 12)[-MAC_BYTES:])

    thread = threading.Thread(target=mirror)
    thread.start()
    with pytest.raises(JoinRefused):
        handshake.connect(connecting, KEY, HELLO)
    thread.join(10)


def test_another_version_is_refused_by_name_on_both_ends(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    found = accepted(pair[0])
    connecting = pair[1]
    assert connecting.recv(len(MAGIC)) == MAGIC
    nonce = connecting.recv(NONCE_BYTES)
    body = json.dumps({**HELLO, "version": "9.9.9"}).encode()
    proof = handshake._mac(KEY, b"connect", nonce, bytes(NONCE_BYTES), body)
    connecting.sendall(
        MAGIC + bytes(NONCE_BYTES) + struct.pack(">H", len(body)) + body + proof,
    )
    error = outcome(found)
    assert isinstance(error, JoinRefused)
    assert "9.9.9" in str(error)
    assert connecting.recv(1) == handshake._WRONG_VERSION


def test_one_who_connects_learns_that_the_versions_differ(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    accepting, connecting = pair

    def other_version() -> None:
        accepting.sendall(MAGIC + bytes(NONCE_BYTES))
        heard = accepting.recv(1 << 12)[len(MAGIC) :]
        nonce, hello = heard[:NONCE_BYTES], heard[NONCE_BYTES + 2 : -MAC_BYTES]
        proof = handshake._mac(KEY, b"accept\x02", nonce, bytes(NONCE_BYTES), hello)
        accepting.sendall(handshake._WRONG_VERSION + proof)

    thread = threading.Thread(target=other_version)
    thread.start()
    with pytest.raises(JoinRefused, match="another version"):
        handshake.connect(connecting, KEY, HELLO)
    thread.join(10)


@pytest.mark.parametrize(
    ("shown", "seen"), [("ab", "cd"), ("ab", ""), ("", "cd")], ids=["other", "none", "unexpected"]
)
def test_ends_that_saw_different_certificates_refuse_each_other(
    pair: tuple[socket.socket, socket.socket], shown: str, seen: str
) -> None:
    found = accepted(pair[0], certificate=shown)
    with pytest.raises(JoinRefused, match="somebody is between"):
        handshake.connect(pair[1], KEY, HELLO, certificate=seen)
    error = outcome(found)
    assert isinstance(error, JoinRefused)
    assert "another certificate" in str(error)


def test_a_verdict_that_was_changed_on_its_way_is_not_believed(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """Else one who sits between with a certificate of his own would turn a refusal into a yes."""
    accepting, connecting = pair
    near, far = socket.socketpair()
    accepted(accepting, certificate="ab")
    refusals: list[JoinRefused] = []

    def connect() -> None:
        with pytest.raises(JoinRefused) as refused:
            handshake.connect(far, KEY, HELLO, certificate="cd")
        refusals.append(refused.value)

    thread = threading.Thread(target=connect)
    thread.start()
    near.sendall(connecting.recv(1 << 12))
    connecting.sendall(near.recv(1 << 12))
    near.sendall(handshake._ACCEPTED + connecting.recv(1 << 12)[1:])
    thread.join(10)
    assert len(refusals) == 1
    near.close()
    far.close()


def test_one_that_came_without_tls_is_told_to_use_it(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    pair[0].sendall(handshake.SECURE)
    with pytest.raises(JoinRefused, match="only hosts that use TLS") as refused:
        handshake.connect(pair[1], KEY, HELLO)
    assert "--tls" in refused.value.remedy


def test_a_replayed_handshake_opens_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    _, answer = overheard(pair)
    accepting, connecting = socket.socketpair()
    with accepting, connecting:
        found = accepted(accepting)
        connecting.sendall(answer)
        assert isinstance(outcome(found), JoinRefused)


def test_a_replayed_challenge_and_verdict_convince_nobody(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    said, _ = overheard(pair)
    accepting, connecting = socket.socketpair()
    with accepting, connecting:
        accepting.sendall(said)
        with pytest.raises(JoinRefused):
            handshake.connect(connecting, KEY, HELLO)


def test_a_hello_that_was_changed_on_its_way_is_refused(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    accepting, connecting = pair
    near, far = socket.socketpair()
    found = accepted(accepting)

    def connect() -> None:
        with pytest.raises(ClusterError):
            handshake.connect(far, KEY, HELLO)

    thread = threading.Thread(target=connect)
    thread.start()
    near.sendall(connecting.recv(1 << 12))
    connecting.sendall(near.recv(1 << 12).replace(b'"to":1', b'"to":2'))
    assert isinstance(outcome(found), JoinRefused)
    near.sendall(connecting.recv(1 << 12))
    thread.join(10)
    near.close()
    far.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b" " * 40,
        b"\x16\x03\x01\x02\x00\x01\x00" * 20,
        b"SSH-2.0-OpenSSH_9.6\r\n",
        bytes(200),
        MAGIC[:-1] + b"\x02" + bytes(200),
    ],
)
def test_garbage_is_refused(pair: tuple[socket.socket, socket.socket], garbage: bytes) -> None:
    found = accepted(pair[0])
    pair[1].sendall(garbage)
    assert isinstance(outcome(found), JoinRefused)


@pytest.mark.parametrize("length", [MAX_HELLO_BYTES + 1, 65535])
def test_a_hello_longer_than_allowed_is_refused_before_it_is_read(
    pair: tuple[socket.socket, socket.socket], length: int
) -> None:
    found = accepted(pair[0])
    pair[1].sendall(MAGIC + bytes(NONCE_BYTES) + struct.pack(">H", length))
    error = outcome(found)
    assert isinstance(error, JoinRefused)
    assert "MAX_HELLO_BYTES" in str(error)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 900, b"null"])
def test_a_hello_that_is_no_object_is_refused_though_its_sender_knows_the_key(
    pair: tuple[socket.socket, socket.socket], body: bytes
) -> None:
    accepting, connecting = pair
    found = accepted(accepting)
    nonce = connecting.recv(1 << 12)[len(MAGIC) :]
    proof = handshake._mac(KEY, b"connect", nonce, bytes(NONCE_BYTES), body)
    connecting.sendall(MAGIC + bytes(NONCE_BYTES) + struct.pack(">H", len(body)) + body + proof)
    assert isinstance(outcome(found), JoinRefused)


@pytest.mark.parametrize("length", [0, 3, len(MAGIC) + 5, len(MAGIC) + NONCE_BYTES + 1])
def test_half_a_message_and_a_hang_up_are_told_apart_from_a_refusal(
    pair: tuple[socket.socket, socket.socket], length: int
) -> None:
    found = accepted(pair[0])
    pair[1].sendall((MAGIC + bytes(200))[:length])
    pair[1].close()
    assert isinstance(outcome(found), HostUnreachable)


def test_silence_and_a_trickle_end_by_the_deadline(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    began = time.monotonic()
    found = accepted(pair[0], timeout_s=0.3)
    for byte in MAGIC[:4]:
        pair[1].sendall(bytes([byte]))
        time.sleep(0.02)
    error = outcome(found)
    assert isinstance(error, HostUnreachable)
    assert "0.3 s" in str(error)
    assert time.monotonic() - began < 5


def test_one_who_never_challenges_us_is_left(pair: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(HostUnreachable, match="within"):
        handshake.connect(pair[1], KEY, HELLO, timeout_s=0.1)


def test_another_service_is_not_taken_for_ours(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
    with pytest.raises(JoinRefused, match="does not speak"):
        handshake.connect(pair[1], KEY, HELLO)


@settings(max_examples=60, deadline=None)
@given(noise=st.binary(max_size=300), begins_well=st.booleans())
def test_whatever_comes_only_one_who_knows_the_key_is_let_in(
    noise: bytes, begins_well: bool
) -> None:
    accepting, connecting = socket.socketpair()
    with accepting, connecting:
        connecting.sendall(MAGIC + noise if begins_well else noise)
        connecting.shutdown(socket.SHUT_WR)
        with pytest.raises((JoinRefused, HostUnreachable)):
            handshake.accept(accepting, KEY, timeout_s=2)
