"""Measuring the answers of a base on questions with known answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from banyan.cli.answer import Answer
from banyan.core.context import Context
from banyan.core.errors import InputError, LimitExceeded
from banyan.core.events import Progress

if TYPE_CHECKING:
    from banyan.knowledge.library import Library

MAX_QUESTIONS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """``answer`` are words a right answer holds; None where it must be refused."""

    text: str
    answer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Shares are None where there was nothing to count.

    ``right``: of the answerable questions, those whose answer holds the expected words.
    ``refused_rightly``: of the unanswerable ones, those that were refused.
    """

    base: str
    mode: Literal["extractive", "model"]
    questions: int
    answered: int
    right: float | None
    refused_rightly: float | None
    seconds_per_answer: float

    def as_rows(self) -> list[tuple[str, str]]:
        return [
            ("base", self.base),
            ("mode", self.mode),
            ("questions", str(self.questions)),
            ("answered", str(self.answered)),
            ("right answers", _percent(self.right)),
            ("right refusals", _percent(self.refused_rightly)),
            ("seconds an answer", f"{self.seconds_per_answer:.2f}"),
        ]


def read_questions(path: Path) -> list[Question]:
    """The questions of a JSON-lines file; ``InputError`` names the line that is none."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text: {error}.") from None
    if len(lines) > MAX_QUESTIONS:
        raise LimitExceeded(
            "The number of questions",
            limit="MAX_QUESTIONS",
            value=len(lines),
            allowed=MAX_QUESTIONS,
        )
    questions = [_question(path, number, line) for number, line in enumerate(lines, 1) if line]
    if not questions:
        raise InputError(f"{path} holds no question.")
    return questions


def evaluate(
    library: Library,
    base: str,
    questions: Sequence[Question],
    mode: Literal["extractive", "model"],
    context: Context,
) -> Iterator[Progress | Report]:
    """Ask every question once; ends with the ``Report``."""
    began = time.perf_counter()
    answers: list[Answer] = []
    for number, question in enumerate(questions):
        yield Progress(stage="ask", done=number, total=len(questions), item=question.text[:40])
        answer = Answer(question=question.text, base=base)
        for event in library.ask(question.text, base, context, mode=mode):
            answer.take(event)
        answers.append(answer)
    pairs = list(zip(questions, answers, strict=True))
    yield Report(
        base=base,
        mode=mode,
        questions=len(questions),
        answered=sum(answer.refused is None for answer in answers),
        right=_share([holds(a, q.answer) for q, a in pairs if q.answer is not None]),
        refused_rightly=_share([a.refused is not None for q, a in pairs if q.answer is None]),
        seconds_per_answer=(time.perf_counter() - began) / len(questions),
    )


def holds(answer: Answer, expected: str) -> bool:
    """Whether the answer has the expected words, letter case and spacing apart."""
    text = " ".join(sentence.text for sentence in answer.sentences)
    return "".join(expected.casefold().split()) in "".join(text.casefold().split())


def _question(path: Path, number: int, line: str) -> Question:
    try:
        row = json.loads(line)
        if not isinstance(row, dict):
            raise TypeError
        text, answer = row["question"], row.get("answer")
        answerable = row.get("answerable", answer is not None)
        if not isinstance(text, str) or (answerable and not isinstance(answer, str)):
            raise TypeError
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"{path}, line {number}, is not a question.",
            remedy='For example: {"question": "Who?", "answer": "Ada"}',
        ) from None
    return Question(text=text, answer=answer if answerable else None)


def _share(right: Sequence[bool]) -> float | None:
    return sum(right) / len(right) if right else None


def _percent(share: float | None) -> str:
    return "none asked" if share is None else f"{100 * share:.1f} %"
