"""A double of the wired product: canned answers, nothing loaded, nothing started."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from banyan.core.context import Context
from banyan.core.errors import UnknownBase, UnknownModel
from banyan.core.events import (
    AnswerDone,
    DocumentAdded,
    Event,
    PassagesFound,
    Progress,
    Refused,
    SentenceReady,
)
from banyan.core.fakes import ScriptedChatModel
from banyan.core.layout import ClusterOptions, WorkerOptions
from banyan.core.settings import Settings
from banyan.core.types import Citation, ModelInfo, Passage
from banyan.knowledge.records import Base, DocumentRecord

PASSAGE = Passage(
    id="p1", base_id="main", document_id="d1", title="Trees", heading_path=("Banyan",),
    text="A banyan\x1b[31m grows\n many trunks.", start=0, end=10, page=3, label="public",
    language="en", score=0.9,
)  # fmt: skip
CITATION = Citation(
    number=1, passage_id="p1", document_id="d1", title="Trees", page=3, start=0, end=5, quote="A"
)
RECORD = DocumentRecord(
    id="d1", base_id="main", path="trees.md", title="Trees", media_type="text/markdown",
    size_bytes=10, sha256="0" * 64, label="public", status="ready", reason="", language="en",
    pages=3, chunks=4, added_at="2026-01-01T00:00:00+00:00",
)  # fmt: skip


class FakeLibrary:
    """Knows the bases it is given; a question about Mars is refused."""

    def __init__(self, *base_ids: str) -> None:
        self.base_ids = list(base_ids)
        self.reading: dict[str, int] = {}
        self.asked: list[tuple[str, str, str | None, str]] = []
        self.added: list[Path] = []
        self.removed: list[str] = []

    def bases(self, context: Context) -> list[Base]:
        return [
            Base(
                id=name,
                title=name.title(),
                documents=1,
                chunks=4,
                failed=0,
                reading=self.reading.get(name, 0),
            )
            for name in self.base_ids
        ]

    def ensure_sample(self, context: Context) -> None:
        self.base_ids = [*(name for name in self.base_ids if name != "sample"), "sample"]
        self.reading["sample"] = 0

    def create_base(self, base_id: str, title: str, context: Context) -> Base:
        self.base_ids.append(base_id)
        return self.bases(context)[-1]

    def remove_base(self, base_id: str, context: Context) -> None:
        self.base_ids.remove(base_id)

    def add(self, paths: Sequence[Path], base_id: str, context: Context) -> Iterator[Event]:
        for path in paths:
            self.added.append(path)
            yield Progress(stage="parse", done=0, total=1, item=path.name)
            if path.suffix == ".bad":
                yield DocumentAdded(
                    document_id="", path=str(path), status="failed", reason="It is empty."
                )
            else:
                yield DocumentAdded(document_id="d1", path=str(path), status="ready", chunks=4)

    def documents(self, base_id: str, context: Context) -> list[DocumentRecord]:
        if base_id not in self.base_ids:
            raise UnknownBase(f"There is no base {base_id}.")
        return [RECORD, replace(RECORD, id="d2", status="failed", reason="It is empty.")]

    def document(self, document_id: str, context: Context) -> tuple[DocumentRecord, None]:
        return RECORD, None

    def delete(self, document_id: str, context: Context) -> None:
        self.removed.append(document_id)

    def search(self, question: str, base_id: str, context: Context, *, k: int) -> list[Passage]:
        return [PASSAGE][:k]

    def ask(
        self,
        question: str,
        base_id: str,
        context: Context,
        *,
        conversation_id: str | None = None,
        mode: str = "auto",
    ) -> Iterator[Event]:
        self.asked.append((question, base_id, conversation_id, mode))
        yield PassagesFound(passages=(PASSAGE,))
        refused = "Mars" in question
        if refused:
            yield Refused(reason="No passage says it.", nearest=(PASSAGE,))
        else:
            yield SentenceReady(text="A banyan has\nmany trunks.", citations=(CITATION,), support=1)
        yield AnswerDone(
            trace_id="t1", conversation_id=conversation_id or "c1", question=question,
            refused=refused, mode="extractive", seconds=0.1,
        )  # fmt: skip


class FakeApp:
    """Handed out by the fixture ``app`` in place of ``banyan.app.App``."""

    def __init__(self, *base_ids: str) -> None:
        self.library = FakeLibrary(*base_ids)
        self.settings = Settings()
        self.talker = ScriptedChatModel("Good day.", "Once more.")
        self.answer_model = ""
        self.closed = 0
        self.worker_started = False
        self.warm = False
        self.cluster: Any = None
        self.joined: list[WorkerOptions] = []
        self.spread_models: list[tuple[str, ClusterOptions]] = []

    def chat_model(self, name: str) -> ScriptedChatModel:
        if name == "nobody":
            raise UnknownModel("There is no model 'nobody'.", remedy="`banyan models list`")
        return self.talker

    def models(self) -> list[ModelInfo]:
        return [ModelInfo(name="tiny", kind="chat", state="installed")]

    def spread(self, name: str, options: ClusterOptions, on_event: Callable[[str], None]) -> Any:
        self.chat_model(name)
        self.spread_models.append((name, options))
        return self.cluster

    def join(
        self, options: WorkerOptions, context: Context, on_event: Callable[[str], None]
    ) -> None:
        self.joined.append(options)
        on_event("Joined.")

    def start_ingest_worker(self) -> None:
        self.worker_started = True

    def warm_up(self) -> None:
        self.warm = True

    def close(self) -> None:
        self.closed += 1


def app_factory(app: FakeApp) -> Callable[..., FakeApp]:
    def make(settings: Settings, *, answer_model: str | None = None) -> FakeApp:
        app.settings = settings
        app.answer_model = answer_model or ""
        return app

    return make
