"""A transcript continues the conversation it begins with, and no other."""

from __future__ import annotations

from banyan.core.types import Message
from banyan.server.conversations import MAX_CONVERSATIONS, Conversations


def _transcript(*texts: str) -> list[Message]:
    roles = ("user", "assistant")
    return [Message(role=roles[n % 2], content=text) for n, text in enumerate(texts)]


def test_a_transcript_that_was_answered_is_found_again() -> None:
    known = Conversations()
    known.remember("ann", "sample", _transcript("how?", "so."), "c1")
    assert known.find("ann", "sample", _transcript("how?", "so.")) == "c1"


def test_another_person_base_or_wording_is_another_conversation() -> None:
    known = Conversations()
    known.remember("ann", "sample", _transcript("how?", "so."), "c1")
    assert known.find("bob", "sample", _transcript("how?", "so.")) is None
    assert known.find("ann", "other", _transcript("how?", "so.")) is None
    assert known.find("ann", "sample", _transcript("how?", "so!")) is None
    assert known.find("ann", "sample", _transcript("how?so.")) is None
    assert known.find("ann", "sample", []) is None


def test_memory_is_bounded_and_the_oldest_is_forgotten() -> None:
    known = Conversations()
    for number in range(MAX_CONVERSATIONS + 1):
        known.remember("ann", "sample", _transcript(str(number)), str(number))
    assert known.find("ann", "sample", _transcript("0")) is None
    assert known.find("ann", "sample", _transcript("1")) == "1"
