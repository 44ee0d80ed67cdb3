from __future__ import annotations

import socket
import threading

import pytest

from banyan.knowledge.parse.frames import FrameTooLong, receive_frame, send_frame


@pytest.fixture
def channel():
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def test_what_is_sent_arrives_even_when_it_is_large(channel):
    body = {"text": "树" * 500_000, "none": None}
    sender = threading.Thread(target=send_frame, args=(channel[0], body))
    sender.start()
    assert receive_frame(channel[1], 1 << 24) == body
    sender.join()


def test_a_frame_over_the_cap_is_not_read(channel):
    send_frame(channel[0], "x" * 100)
    with pytest.raises(FrameTooLong):
        receive_frame(channel[1], 50)


def test_a_closed_channel_is_an_end_of_file(channel):
    channel[0].close()
    with pytest.raises(EOFError):
        receive_frame(channel[1], 50)
