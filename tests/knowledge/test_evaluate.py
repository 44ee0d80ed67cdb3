"""Evaluating a base on questions with known answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from banyan.core.context import Context
from banyan.core.errors import InputError, LimitExceeded
from banyan.knowledge import evaluate as evaluation
from banyan.knowledge.embed import Embedders, Multilingual
from banyan.knowledge.evaluate import (
    GoldQuestion,
    Outcome,
    evaluate,
    holds,
    read_questions,
    report,
)
from banyan.knowledge.library import Library
from banyan.knowledge.parse.limits import ParseLimits


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("library")
    notes = folder / "notes"
    notes.mkdir()
    (notes / "ely.md").write_text("# Ely\n\nThe bridge of Ely was built by monks in 1291.\n")
    (notes / "oak.md").write_text("# Oak\n\nThe oak grows acorns, which squirrels bury.\n")
    made = Library(
        folder / "store", embedders=Embedders(multilingual=Multilingual()), limits=ParseLimits()
    )
    made.create_base("notes", "Notes", Context())
    list(made.add([notes], "notes", Context()))
    yield made
    made.close()


def test_a_base_is_measured_on_its_questions(library: Library) -> None:
    questions = [
        GoldQuestion(text="Who built the bridge of Ely?", answer="monks", document="ely.md"),
        GoldQuestion(text="What does the oak grow?", answer="pears", document="oak.md"),
        GoldQuestion(text="Who wrote the opera about Carthage?", answerable=False),
    ]
    outcomes = list(evaluate(library, "notes", questions, Context()))
    assert [outcome.fault for outcome in outcomes] == [
        "",
        "the answer does not hold the expected words",
        "",
    ]
    found = report(outcomes)
    assert (found.questions, found.answered) == (3, 2)
    assert (found.hit, found.sentence_hit, found.answer_hit) == (1.0, 0.5, 0.5)
    assert (found.refusal_precision, found.refusal_recall) == (1.0, 1.0)
    assert [outcome.gold.answer for outcome in found.worst] == ["pears"]


def outcome(gold: GoldQuestion, *, refused: bool, holding: bool = False) -> Outcome:
    return Outcome(
        gold=gold,
        refused=refused,
        rank=0,
        sentences=() if refused else ("A sentence.",),
        holds=() if refused else (holding,),
        trace_id="",
        seconds=0.5,
    )


def test_false_answers_come_first_among_the_worst() -> None:
    gold, none = GoldQuestion(text="Q?", answer="A"), GoldQuestion(text="N?", answerable=False)
    found = report(
        [
            outcome(gold, refused=False),
            outcome(gold, refused=True),
            outcome(none, refused=False),
            outcome(gold, refused=False, holding=True),
        ]
    )
    assert [one.fault for one in found.worst] == [
        "answered what the documents do not say",
        "the answer does not hold the expected words",
        "refused what the documents answer",
    ]
    assert (found.refusal_precision, found.refusal_recall) == (0.0, 0.0)


def test_what_was_not_asked_has_no_share() -> None:
    found = report([outcome(GoldQuestion(text="Q?"), refused=False)])
    assert (found.hit, found.sentence_hit, found.refusal_recall) == (None, None, None)
    with pytest.raises(InputError):
        report([])


@pytest.mark.parametrize(
    ("sentence", "answer", "right"),
    [
        ("Built by Monks in 1291.", "monks in 1291", True),
        ("它由修士 建造。", "修士建造。", True),
        ("Built by nuns.", "monks", False),
        ("Anything.", "", False),
    ],
)
def test_letter_case_spaces_and_stops_do_not_count(sentence: str, answer: str, right: bool) -> None:
    assert holds(sentence, answer) is right


def test_questions_are_read_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text(
        '{"question": "Who?", "answer": "Ada", "document": "a.md"}\n\n'
        '{"question": "Nobody?", "answerable": false}\n'
    )
    assert read_questions(file) == [
        GoldQuestion(text="Who?", answer="Ada", document="a.md"),
        GoldQuestion(text="Nobody?", answerable=False),
    ]


@pytest.mark.parametrize(
    "line", ["no json", "[]", '{"answer": "x"}', '{"question": 3}', '{"question": " "}']
)
def test_a_line_that_is_no_question_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text('{"question": "Who?"}\n' + line + "\n")
    with pytest.raises(InputError, match="line 2"):
        read_questions(file)


def test_a_file_that_cannot_serve_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_questions(tmp_path / "none.jsonl")
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(InputError, match="no question"):
        read_questions(empty)
    monkeypatch.setattr(evaluation, "MAX_QUESTIONS", 1)
    two = tmp_path / "two.jsonl"
    two.write_text('{"question": "Who?"}\n{"question": "What?"}\n')
    with pytest.raises(LimitExceeded, match="MAX_QUESTIONS"):
        read_questions(two)
