"""A knowledge base's answer as text: marks, sources, refusals."""

from __future__ import annotations

from dataclasses import replace

from tests.server.stubs import CITATION, StubLibrary

from banyan.core.context import Context
from banyan.core.events import AnswerDone, Refused, SentenceReady
from banyan.server.grounded import Grounded, base_of, write_out

DONE = AnswerDone(
    trace_id="t", conversation_id="c", question="q", refused=False, mode="extractive", seconds=0.0
)


def _text(pieces: list[str | Grounded]) -> str:
    return "".join(piece for piece in pieces if isinstance(piece, str))


def test_only_a_name_with_the_prefix_is_a_base() -> None:
    assert base_of("base:sample") == "sample"
    assert base_of("base:") == ""
    assert base_of("sample") is None


def test_every_sentence_carries_its_marks_and_the_sources_come_last() -> None:
    second = replace(CITATION, number=2, title="Roots", page=None)
    events = [
        SentenceReady(text="One.", citations=(CITATION,), support=1.0),
        SentenceReady(text="Two.", citations=(CITATION, second), support=1.0),
        DONE,
    ]
    pieces = list(write_out(iter(events)))
    assert _text(pieces) == "One. [1] Two. [1][2]\n\n[1] Trees, p. 3\n[2] Roots"
    assert pieces[-1] == Grounded(citations=(CITATION, second), done=DONE)


def test_a_refusal_is_its_reason_without_sources() -> None:
    events = [Refused(reason="Not in these documents."), DONE]
    assert _text(list(write_out(iter(events)))) == "Not in these documents."


def test_the_last_piece_says_how_the_answer_ended() -> None:
    pieces = list(write_out(StubLibrary().ask("what?", "sample", Context())))
    assert isinstance(pieces[-1], Grounded)
    assert pieces[-1].done.mode == "extractive"
