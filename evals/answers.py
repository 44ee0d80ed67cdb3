"""How good the answers are: right ones, right citations, right refusals.

    make eval-answers              300 answerable and 300 unanswerable questions a set
    make eval-answers FULL=1       all questions of the judging half

A question is unanswerable because its paragraph lies in the half of the base that the caller may
not see; the rest of its article mostly stays. Only articles that no weight was fitted on are
asked about, so the smallest set has fewer questions. ``f1`` compares the whole answer with the
gold words (single characters for Chinese), so a quoted sentence cannot score high.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from datasets import DataMissing, EvalBase, Question, QuestionSet, half, read
from embedded import embedders, parser, scorer
from table import Row, report

from banyan.app import App
from banyan.core.context import Context, Principal
from banyan.core.errors import UnknownModel
from banyan.core.events import AnswerDone, PassagesFound, SentenceReady
from banyan.core.settings import Settings
from banyan.core.types import Passage
from banyan.knowledge.ask import Resources, ask
from banyan.knowledge.evaluate import holds
from banyan.knowledge.snapshot import Snapshot

SETS = ("drcd-dev", "cmrc2018-trial", "squad-v1.1-dev")
COUNT = 300
COUNT_MODEL = 50
SEED = 11
_WORDS = re.compile(r"[a-z0-9]+|[\u4e00-\u9fff]")
_ARTICLES = {"a", "an", "the"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came of one question."""

    question: Question
    answerable: bool
    refused: bool
    text: str
    cited: tuple[Passage, ...]
    seconds: float


def main() -> None:
    options = _options()
    app = App(replace(Settings(), home=options.home))
    resources = _resources(app)
    rows: list[Row] = []
    try:
        for name in SETS:
            if options.sets and name not in options.sets:
                continue
            rows.extend(_set_rows(name, options, resources, app))
    except DataMissing as missing:
        sys.exit(f"{missing} Give the folder of question sets with --data DIR.")
    finally:
        app.close()
    report("answers", rows)


def _set_rows(name: str, options: argparse.Namespace, resources: Resources, app: App) -> list[Row]:
    questions = read(options.data, name)
    base = EvalBase(options.cache, [questions], resources.embedders)
    paths = base.paths()
    rows = []
    with base.snapshot() as snapshot:
        count = None if options.full else COUNT
        found = _ask_all(questions, count, snapshot, resources, "extractive")
        rows.append(_row(questions, "extractive", found, paths))
        writer = _writer(app) if questions.language == "en" and not options.no_model else None
        if writer is not None:
            written = replace(resources, writer=writer)
            found = _ask_all(questions, COUNT_MODEL, snapshot, written, "model")
            rows.append(_row(questions, "model", found, paths))
    base.close()
    return rows


def _ask_all(
    questions: QuestionSet,
    count: int | None,
    snapshot: Snapshot,
    resources: Resources,
    mode: Literal["extractive", "model"],
) -> list[Answered]:
    principal = half(questions)
    fitted = questions.fitting_articles
    pool = [one for one in questions.questions if one.article not in fitted]
    random.Random(SEED).shuffle(pool)
    answerable = [one for one in pool if principal.may_see(one.label)][:count]
    unanswerable = [one for one in pool if not principal.may_see(one.label)][:count]
    print(f"{questions.name}, {mode}: {len(answerable)} + {len(unanswerable)}", file=sys.stderr)
    return [
        _asked(one, principal, snapshot, resources, mode) for one in (*answerable, *unanswerable)
    ]


def _asked(
    question: Question,
    principal: Principal,
    snapshot: Snapshot,
    resources: Resources,
    mode: Literal["extractive", "model"],
) -> Answered:
    started = time.perf_counter()
    passages: dict[str, Passage] = {}
    sentences: list[SentenceReady] = []
    refused = False
    context = Context(principal=principal)
    for event in ask(question.text, "base", snapshot, resources, context, mode=mode):
        if isinstance(event, PassagesFound):
            passages = {passage.id: passage for passage in event.passages}
        elif isinstance(event, SentenceReady):
            sentences.append(event)
        elif isinstance(event, AnswerDone):
            refused = event.refused
    cited = dict.fromkeys(c.passage_id for sentence in sentences for c in sentence.citations)
    return Answered(
        question=question,
        answerable=principal.may_see(question.label),
        refused=refused,
        text=" ".join(sentence.text for sentence in sentences),
        cited=tuple(passages[one] for one in cited if one in passages),
        seconds=time.perf_counter() - started,
    )


def _row(
    questions: QuestionSet, mode: str, found: Sequence[Answered], paths: dict[str, str]
) -> Row:
    answerable = [one for one in found if one.answerable]
    refusals = [one for one in found if one.refused]
    cited = [(one, passage) for one in answerable for passage in one.cited]
    gold = {id(one): f"{questions.name}/{one.question.path}" for one in answerable}
    precision = _share([not one.answerable for one in refusals])
    recall = _share([one.refused for one in found if not one.answerable])
    return {
        "set": questions.name,
        "mode": mode,
        "questions": len(found),
        "answered": sum(not one.refused for one in answerable),
        "contains_gold": _share([_right(one.text, one.question) for one in answerable]),
        "f1": sum(_f1(one) for one in answerable) / max(len(answerable), 1),
        "citation_precision": _share([_right(p.text, one.question) for one, p in cited]),
        "citation_recall": _share(
            [any(paths[p.document_id] == gold[id(one)] for p in one.cited) for one in answerable]
        ),
        "refusal_precision": precision,
        "refusal_recall": recall,
        "refusal_f1": 2 * precision * recall / max(precision + recall, 1e-9),
        "seconds_per_answer": sum(one.seconds for one in found) / max(len(found), 1),
    }


def _right(text: str, question: Question) -> bool:
    return any(holds(text, answer) for answer in question.answers)


def _f1(one: Answered) -> float:
    """The best F1 over the accepted answers, by words without articles or by characters."""
    said = _tokens(one.text)
    return max((_overlap(said, _tokens(answer)) for answer in one.question.answers), default=0.0)


def _overlap(said: Counter[str], gold: Counter[str]) -> float:
    same = (said & gold).total()
    return 2 * same / (said.total() + gold.total()) if same else 0.0


def _tokens(text: str) -> Counter[str]:
    return Counter(word for word in _WORDS.findall(text.lower()) if word not in _ARTICLES)


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else 0.0


def _resources(app: App) -> Resources:
    return Resources(embedders=embedders(app), scorer=scorer(app))


def _writer(app: App):
    try:
        return app.chat_model(app.settings.chat_model)
    except UnknownModel:
        return None


def _options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--no-model", action="store_true", help="leave mode model out")
    return options.parse_args()


if __name__ == "__main__":
    sys.exit(main())
