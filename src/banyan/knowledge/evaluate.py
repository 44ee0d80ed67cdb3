"""Evaluate a base on questions whose answers are known: found, answered, refused rightly?

A file of questions has one JSON object a line: ``question``, and where there is an answer
``answer`` (words it must hold) and ``document`` (its path, or the end of it); ``answerable`` false
marks a question that must be refused. Not here: how a report is shown.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from banyan.core.context import Context, Trace
from banyan.core.errors import InputError, LimitExceeded
from banyan.core.events import AnswerDone, PassagesFound, SentenceReady
from banyan.knowledge.ask import Mode

if TYPE_CHECKING:
    from banyan.knowledge.library import Library

MAX_QUESTIONS = 100_000
WORST_KEPT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldQuestion:
    """A question and what is known of its answer; empty strings where nothing is."""

    text: str
    answer: str = ""
    document: str = ""
    answerable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one question.

    ``rank`` is the place of the gold document among the passages shown, from 1; 0 where it is not
    there or not known. ``holds`` says per sentence whether it holds the gold answer.
    """

    gold: GoldQuestion
    refused: bool
    rank: int
    sentences: tuple[str, ...]
    holds: tuple[bool, ...]
    trace_id: str
    seconds: float

    @property
    def fault(self) -> str:
        """What is wrong with it; empty where nothing is."""
        if not self.gold.answerable:
            return "" if self.refused else "answered what the documents do not say"
        if self.refused:
            return "refused what the documents answer"
        if self.gold.answer and not any(self.holds):
            return "the answer does not hold the expected words"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Shares in 0..1; None where there was nothing to count.

    ``hit``: the gold document is among the passages shown. ``sentence_hit``: the first sentence
    holds the answer, and ``answer_hit``: some sentence does, both of all answerable questions.
    ``refusal_precision``: of the refusals, those of unanswerable questions, and
    ``refusal_recall`` the reverse. ``worst`` are wrong outcomes, false answers first.
    """

    questions: int
    answered: int
    hit: float | None
    sentence_hit: float | None
    answer_hit: float | None
    refusal_precision: float | None
    refusal_recall: float | None
    seconds_per_answer: float
    worst: tuple[Outcome, ...]


def read_questions(path: Path) -> list[GoldQuestion]:
    """Read a file of questions; raises ``InputError`` that names the line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text: {error}.") from None
    found = [_question(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if len(found) > MAX_QUESTIONS:
        raise LimitExceeded(
            "The number of questions",
            limit="MAX_QUESTIONS",
            value=len(found),
            allowed=MAX_QUESTIONS,
        )
    if not found:
        raise InputError(f"{path} holds no question.")
    return found


def evaluate(
    library: Library,
    base_id: str,
    questions: Sequence[GoldQuestion],
    context: Context,
    *,
    mode: Mode = "auto",
) -> Iterator[Outcome]:
    """Ask every question once, in order; each is a conversation of its own."""
    paths = {record.id: record.path for record in library.documents(base_id, context)}
    for gold in questions:
        context.check()
        started = time.perf_counter()
        passages: list[str] = []
        sentences: list[str] = []
        refused, trace_id = False, ""
        asked = _fresh(context)
        for event in library.ask(gold.text, base_id, asked, mode=mode):
            if isinstance(event, PassagesFound):
                passages = [paths.get(one.document_id, "") for one in event.passages]
            elif isinstance(event, SentenceReady):
                sentences.append(event.text)
            elif isinstance(event, AnswerDone):
                refused, trace_id = event.refused, event.trace_id
        yield Outcome(
            gold=gold,
            refused=refused,
            rank=_rank(gold.document, passages),
            sentences=tuple(sentences),
            holds=tuple(holds(sentence, gold.answer) for sentence in sentences),
            trace_id=trace_id,
            seconds=time.perf_counter() - started,
        )


def report(outcomes: Sequence[Outcome]) -> Report:
    """Sum up what ``evaluate`` yielded; raises ``InputError`` when that is nothing."""
    if not outcomes:
        raise InputError("There is no outcome to report on.")
    answerable = [one for one in outcomes if one.gold.answerable]
    with_answer = [one for one in answerable if one.gold.answer]
    refusals = [one for one in outcomes if one.refused]
    wrong = [one for one in outcomes if one.fault]
    wrong.sort(key=lambda one: (one.gold.answerable, one.refused))
    return Report(
        questions=len(outcomes),
        answered=len(outcomes) - len(refusals),
        hit=_share([one.rank > 0 for one in answerable if one.gold.document]),
        sentence_hit=_share([one.holds[:1] == (True,) for one in with_answer]),
        answer_hit=_share([any(one.holds) for one in with_answer]),
        refusal_precision=_share([not one.gold.answerable for one in refusals]),
        refusal_recall=_share([one.refused for one in outcomes if not one.gold.answerable]),
        seconds_per_answer=sum(one.seconds for one in outcomes) / len(outcomes),
        worst=tuple(wrong[:WORST_KEPT]),
    )


def holds(sentence: str, answer: str) -> bool:
    """Whether ``sentence`` has the words of ``answer``, letter case, spaces and stops apart."""
    wanted = _plain(answer)
    return bool(wanted) and wanted in _plain(sentence)


def _plain(text: str) -> str:
    return "".join(text.casefold().split()).strip(".。!！?？\"'“”‘’")


def _question(path: Path, number: int, line: str) -> GoldQuestion:
    try:
        row = json.loads(line)
        text, answer = row["question"], row.get("answer") or ""
        document, answerable = row.get("document") or "", row.get("answerable", True)
        strings = all(isinstance(value, str) for value in (text, answer, document))
        if not strings or not isinstance(answerable, bool) or not text.strip():
            raise TypeError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{path}, line {number}, is not a question.",
            remedy='For example: {"question": "Who?", "answer": "Ada", "answerable": true}',
        ) from None
    return GoldQuestion(text=text, answer=answer, document=document, answerable=answerable)


def _fresh(context: Context) -> Context:
    """The same caller with a trace of its own."""
    return Context(
        principal=context.principal,
        base_id=context.base_id,
        deadline=context.deadline,
        cancel=context.cancel,
        trace=Trace(),
    )


def _rank(document: str, paths: Sequence[str]) -> int:
    if not document:
        return 0
    distinct = list(dict.fromkeys(paths))
    return next((n for n, path in enumerate(distinct, 1) if path.endswith(document)), 0)


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None
