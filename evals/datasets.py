"""Readers of the public question sets, and bases made of them by the product's own ingest.

Every paragraph becomes one document. Its label says in which half and which group of about sixty
it lies, so that "half of the gold paragraphs removed" and "a base of thirty documents" are only a
matter of what the caller may see, as in the product.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from banyan.core.context import Context, Principal
from banyan.core.errors import Conflict
from banyan.core.events import DocumentAdded
from banyan.core.types import Language
from banyan.knowledge import bases
from banyan.knowledge.embed import Embedders
from banyan.knowledge.ingest import Ingest
from banyan.knowledge.records import Block, Document
from banyan.knowledge.sources import GivenSource
from banyan.knowledge.store import Store
from banyan.knowledge.vectors import VectorCache
from banyan.knowledge.view import View

SEED = 20
GROUP = 60
FILES = {
    "squad-v1.1-dev": "squad-v1.1-dev.json",
    "drcd-dev": "drcd-dev.json",
    "cmrc2018-trial": "cmrc2018-trial.json",
    "xquad-en": "xquad.en.json",
    "xquad-zh": "xquad.zh.json",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """A paragraph of an article; ``path`` names its document."""

    path: str
    title: str
    text: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question with its gold paragraph (by path), its article and the accepted answers."""

    id: str
    text: str
    path: str
    label: str
    article: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSet:
    """The paragraphs and questions of one file, in the file's order."""

    name: str
    language: Language
    paragraphs: tuple[Paragraph, ...]
    questions: tuple[Question, ...]

    @property
    def labels(self) -> frozenset[str]:
        return frozenset(paragraph.label for paragraph in self.paragraphs)

    @property
    def fitting_articles(self) -> frozenset[str]:
        """The half of the articles that weights may be fitted on; the other half judges them."""
        articles = sorted({question.article for question in self.questions})
        random.Random(SEED).shuffle(articles)
        return frozenset(articles[::2])


class DataMissing(Exception):
    """The folder of question sets is not there."""


def read(data: Path, name: str) -> QuestionSet:
    """Read one set from ``data``, or from ``data/knowledge``; raises ``DataMissing``."""
    places = [data / FILES[name], data / "knowledge" / FILES[name]]
    place = next((path for path in places if path.is_file()), None)
    if place is None:
        raise DataMissing(f"{FILES[name]} is neither in {data} nor in {data / 'knowledge'}.")
    articles = json.loads(place.read_text(encoding="utf-8"))["data"]
    count = sum(len(article["paragraphs"]) for article in articles)
    labels = _labels(count)
    paragraphs, questions = [], []
    for number, article in enumerate(articles):
        for raw in article["paragraphs"]:
            title = str(article.get("title") or raw.get("title") or "").replace("_", " ")
            paragraph = Paragraph(
                path=f"{number:03}/{len(paragraphs):05}.txt",
                title=title,
                text=raw["context"],
                label=labels[len(paragraphs)],
            )
            paragraphs.append(paragraph)
            questions.extend(_questions(raw, paragraph, str(article.get("id", number))))
    chinese = name in {"drcd-dev", "cmrc2018-trial", "xquad-zh"}
    return QuestionSet(
        name=name,
        language="zh" if chinese else "en",
        paragraphs=tuple(paragraphs),
        questions=tuple(questions),
    )


def _questions(raw: dict, paragraph: Paragraph, article: str) -> list[Question]:
    return [
        Question(
            id=str(entry["id"]),
            text=entry["question"],
            path=paragraph.path,
            label=paragraph.label,
            article=article,
            answers=tuple(sorted({answer["text"] for answer in entry["answers"]})),
        )
        for entry in raw["qas"]
        if entry["question"].strip()  # two of CMRC's are blank
    ]


def _labels(count: int) -> list[str]:
    """``kept-3`` or ``gone-3``: the half, and the group of about ``GROUP`` paragraphs."""
    order = list(range(count))
    random.Random(SEED).shuffle(order)
    groups = max(1, round(count / GROUP))
    labels = [""] * count
    for place, number in enumerate(order):
        labels[number] = f"{('kept', 'gone')[place % 2]}-{place // 2 % groups}"
    return labels


def half(questions: QuestionSet) -> Principal:
    """Somebody who may see one half of the paragraphs."""
    return Principal(
        name="half", labels=frozenset(one for one in questions.labels if one.startswith("kept"))
    )


class EvalBase:
    """Sets in one base of a store of its own under ``folder``; made once, then reused."""

    def __init__(self, folder: Path, sets: Sequence[QuestionSet], embedders: Embedders) -> None:
        self.base_id = "-".join(one.name.replace(".", "-") for one in sets)
        self._store = Store(folder / self.base_id)
        self._cache = VectorCache()
        context = Context()
        with self._store.write(context) as db:
            try:
                bases.create(db, self.base_id, self.base_id)
            except Conflict:
                pass
        for one in sets:
            for label in sorted(one.labels):
                self._add(one, label, embedders, context)

    @contextmanager
    def snapshot(self) -> Iterator[View]:
        with self._store.read() as db:
            yield View(db, self.base_id, self._cache)

    def paths(self) -> dict[str, str]:
        """The path of each document id."""
        with self._store.read() as db:
            return dict(db.execute("SELECT id, path FROM records"))

    def close(self) -> None:
        self._store.close()

    def _add(self, one: QuestionSet, label: str, embedders: Embedders, context: Context) -> None:
        sources = [
            GivenSource(
                path=f"{one.name}/{paragraph.path}",
                given=Document(
                    title=paragraph.title,
                    media_type="text/plain",
                    blocks=(Block(kind="paragraph", text=paragraph.text),),
                ),
            )
            for paragraph in one.paragraphs
            if paragraph.label == label
        ]
        ingest = Ingest(store=self._store, embedders=embedders, base_id=self.base_id, label=label)
        for event in ingest.run(sources, context):
            if isinstance(event, DocumentAdded) and event.status == "failed":
                raise ValueError(f"{event.path}: {event.reason}")
