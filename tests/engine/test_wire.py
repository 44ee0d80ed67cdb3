"""What crosses the wire comes out as it went in; what is no frame is refused."""

from __future__ import annotations

import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banyan.core import errors
from banyan.core.errors import BanyanError, EngineFailed, LimitExceeded, UnknownModel
from banyan.core.events import GenerationDone, TokenReady
from banyan.core.types import Message, Sampling, TokenLogprob, Usage
from banyan.engine import wire
from banyan.engine.wire import Channel


def sent(value: wire.Json) -> wire.Json:
    """``value`` after its way through a real socket pair."""
    left, right = socket.socketpair()
    sender, receiver = Channel(left), Channel(right)
    thread = threading.Thread(target=lambda: (sender.send(value), sender.close()))
    thread.start()
    (received,) = receiver
    thread.join()
    receiver.close()
    return received


@given(st.text(), st.lists(st.floats(allow_nan=False), max_size=3))
def test_frames_arrive_as_they_were_sent(text: str, numbers: list[float]) -> None:
    assert sent({"text": text, "numbers": numbers}) == {"text": text, "numbers": numbers}


def test_records_arrive_as_they_were_sent() -> None:
    logprob = TokenLogprob(text=" é\ud800", logprob=-1.25, top=((" é", -1.25), ("", float("-inf"))))
    first = TokenLogprob(text="", logprob=None)
    token = TokenReady(text="text", logprobs=(first, logprob))
    done = GenerationDone(finish_reason="stop", usage=Usage(prompt_tokens=3, completion_tokens=4))
    messages = (Message(role="system", content="a"), Message(role="user", content="中\n"))
    sampling = Sampling(max_tokens=3, stop=("a", "b"), seed=2**63, logprobs=0, echo=True)
    assert wire.decode_event(sent(wire.encode_event(token))) == token
    assert wire.decode_event(sent(wire.encode_event(done))) == done
    assert wire.decode_messages(sent({"m": wire.encode_messages(messages)})["m"]) == messages
    assert wire.decode_sampling(sent(wire.encode_sampling(sampling))) == sampling


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, BanyanError)
    ],
)
def test_every_error_arrives_as_its_own_class(kind: type[BanyanError]) -> None:
    error = kind.__new__(kind)
    BanyanError.__init__(error, "what happened", remedy="what to do")
    arrived = wire.decode_error(sent(wire.encode_error(error)))
    assert type(arrived) is kind
    assert (str(arrived), arrived.remedy) == ("what happened", "what to do")


def test_an_error_of_an_unknown_class_is_an_engine_failure() -> None:
    error = wire.decode_error({"code": "new_in_another_version", "message": "m", "remedy": ""})
    assert type(error) is EngineFailed
    assert str(UnknownModel("m")) == str(error)


def test_an_over_long_frame_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_FRAME_BYTES", 10)
    left, right = socket.socketpair()
    with left, right, pytest.raises(LimitExceeded, match="MAX_FRAME_BYTES = 10"):
        Channel(left).send({"text": "far too long"})


@pytest.mark.parametrize(
    "garbage",
    [
        struct.pack(">I", 2**32 - 1) + b"x",
        struct.pack(">I", 4) + b"\xff\xff\xff\xff",
        struct.pack(">I", 2) + b"[]",
        struct.pack(">I", 4) + b"nope",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_frame_is_refused(garbage: bytes) -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(garbage)
        left.shutdown(socket.SHUT_WR)
        with pytest.raises(EngineFailed):
            list(Channel(right))


@pytest.mark.parametrize("half", [b"", b"\0\0", struct.pack(">I", 100) + b'{"id"'])
def test_half_a_frame_is_the_end_of_the_stream(half: bytes) -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(half)
        left.shutdown(socket.SHUT_WR)
        assert list(Channel(right)) == []
