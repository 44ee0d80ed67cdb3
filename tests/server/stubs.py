"""A small app and library for the server's tests: the product's doubles behind the real names."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from banyan.core.context import Context
from banyan.core.errors import Conflict, UnknownBase, UnknownDocument, UnknownModel
from banyan.core.events import (
    AnswerDone,
    Event,
    GenerationDone,
    ModelReady,
    PassagesFound,
    Progress,
    Refused,
    SentenceReady,
    TokenReady,
)
from banyan.core.fakes import HashEmbedder, ScriptedChatModel
from banyan.core.settings import Settings
from banyan.core.types import Citation, Message, ModelInfo, Passage, Sampling, TokenLogprob, Usage
from banyan.knowledge.records import Base, Block, Document, DocumentRecord, Job
from banyan.models.connections import Connected, Connection
from banyan.models.discover import LocalServer

HOSTILE = "<img src=x onerror=alert(1)>.pdf"

SENTENCE = "It stands on many trunks."

PASSAGE = Passage(
    id="p1",
    base_id="sample",
    document_id="d1",
    title=HOSTILE,
    heading_path=("Trees",),
    text="A banyan stands on many trunks.",
    start=0,
    end=31,
    page=3,
    label="public",
    language="en",
    score=1.0,
    scores={"bm25": 1.0},
)
CITATION = Citation(
    number=1,
    passage_id="p1",
    document_id="d1",
    title="Trees",
    page=3,
    start=0,
    end=31,
    quote="A banyan stands on many trunks.",
)
RECORD = DocumentRecord(
    id="d1",
    base_id="sample",
    path=HOSTILE,
    title=HOSTILE,
    media_type="application/pdf",
    size_bytes=10,
    sha256="0" * 64,
    label="public",
    status="ready",
    reason="",
    language="en",
    pages=1,
    chunks=1,
    added_at="2026-01-01T00:00:00+00:00",
)


class EndlessModel:
    """Writes until it is cancelled, and says when it was."""

    def __init__(self, pause_s: float = 0.005, text: str = "word ") -> None:
        self.pause_s = pause_s
        self.text = text
        self.cancelled = threading.Event()
        self.started = threading.Event()

    def chat(
        self, messages: Sequence[Message], sampling: Sampling, context: Context
    ) -> Iterator[TokenReady | GenerationDone]:
        self.started.set()
        try:
            while True:
                context.check()
                yield TokenReady(text=self.text)
                time.sleep(self.pause_s)
        finally:
            self.cancelled.set()


class BlockedModel:
    """Does not come back from its first step until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.started = threading.Event()

    def chat(
        self, messages: Sequence[Message], sampling: Sampling, context: Context
    ) -> Iterator[TokenReady | GenerationDone]:
        self.started.set()
        self.go.wait(20)
        yield GenerationDone(finish_reason="stop", usage=Usage())


class RecordingModel:
    """Answers ``echo: LAST MESSAGE`` with logprobs; keeps the options it was given."""

    def __init__(self) -> None:
        self.sampling: list[Sampling] = []
        self.messages: list[tuple[Message, ...]] = []

    def chat(
        self, messages: Sequence[Message], sampling: Sampling, context: Context
    ) -> Iterator[TokenReady | GenerationDone]:
        self.messages.append(tuple(messages))
        yield from self._write(["echo:", " " + messages[-1].content], sampling)

    def complete(
        self, prompt: str, sampling: Sampling, context: Context
    ) -> Iterator[TokenReady | GenerationDone]:
        words = [prompt] if sampling.echo else []
        if sampling.max_tokens:
            words += [" and", " on"]
        yield from self._write(words, sampling)

    def _write(
        self, words: Sequence[str], sampling: Sampling
    ) -> Iterator[TokenReady | GenerationDone]:
        self.sampling.append(sampling)
        for index, word in enumerate(words):
            logprob = None if sampling.echo and index == 0 else -0.5
            top = (("other", -1.5),) * min(1, sampling.logprobs or 0)
            tokens = (TokenLogprob(text=word, logprob=logprob, top=top),)
            yield TokenReady(text=word, logprobs=() if sampling.logprobs is None else tokens)
        usage = Usage(prompt_tokens=3, completion_tokens=len(words))
        yield GenerationDone(finish_reason="stop", usage=usage)


@dataclass
class StubLibrary:
    """One base with one document; answers are scripted."""

    known: dict[str, Base] = field(
        default_factory=lambda: {
            "sample": Base(id="sample", title="Sample", documents=1, chunks=1, failed=0)
        }
    )
    queued: list[Job] = field(default_factory=list)
    saved: list[Path] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    answer: Callable[[Context], Iterator[Event]] | None = None

    def bases(self, context: Context) -> list[Base]:
        return list(self.known.values())

    def create_base(self, base_id: str, title: str, context: Context) -> Base:
        if base_id in self.known:
            raise Conflict(f"There is a base {base_id!r} already.")
        self.known[base_id] = Base(id=base_id, title=title, documents=0, chunks=0, failed=0)
        return self.known[base_id]

    def remove_base(self, base_id: str, context: Context) -> None:
        self._base(base_id)
        del self.known[base_id]

    def enqueue(
        self, path: Path, base_id: str, context: Context, *, label: str = "public", name: str
    ) -> Job:
        self._base(base_id)
        self.saved.append(path)
        job = Job(
            id=f"j{len(self.queued)}",
            base_id=base_id,
            path=name,
            state="waiting",
            stage="",
            reason="",
            document_id="",
            created_at="2026-01-01T00:00:00+00:00",
            seconds=0.0,
        )
        self.queued.append(job)
        return job

    def jobs(self, base_id: str, context: Context) -> list[Job]:
        self._base(base_id)
        return list(self.queued)

    def documents(self, base_id: str, context: Context) -> list[DocumentRecord]:
        self._base(base_id)
        return [RECORD]

    def document(self, document_id: str, context: Context) -> tuple[DocumentRecord, Document]:
        self._document(document_id)
        blocks = (
            Block(kind="heading", text="Trees", level=1),
            Block(kind="paragraph", text=HOSTILE),
        )
        return RECORD, Document(title=HOSTILE, media_type="text/html", blocks=blocks)

    def passage(self, passage_id: str, context: Context) -> Passage:
        if passage_id != "p1":
            raise UnknownDocument("There is no such passage.")
        return PASSAGE

    def delete(self, document_id: str, context: Context) -> None:
        self._document(document_id)

    def search(
        self, question: str, base_id: str, context: Context, *, k: int = 10
    ) -> list[Passage]:
        self._base(base_id)
        return [PASSAGE]

    def ask(
        self,
        question: str,
        base_id: str,
        context: Context,
        *,
        conversation_id: str | None = None,
        mode: Literal["auto", "extractive", "model"] = "auto",
    ) -> Iterator[Event]:
        self._base(base_id)
        self.asked.append((question, conversation_id))
        if self.answer is not None:
            yield from self.answer(context)
            return
        refused = "moon" in question
        if refused:
            yield Refused(reason="Not in these documents.", nearest=(PASSAGE,))
        else:
            yield PassagesFound(passages=(PASSAGE,))
            yield SentenceReady(
                text="It stands on many trunks.", citations=(CITATION,), support=0.9
            )
        yield AnswerDone(
            trace_id=context.trace.id,
            conversation_id=conversation_id or f"c{len(self.asked)}",
            question=question,
            refused=refused,
            mode="extractive",
            seconds=0.1,
        )

    def trace(self, trace_id: str, context: Context) -> dict[str, object]:
        if trace_id != "t1":
            raise UnknownDocument("There is no such trace.")
        return {"id": "t1", "steps": []}

    def suggest(
        self, base_id: str, context: Context, *, document_id: str | None = None, limit: int = 6
    ) -> list[str]:
        self._base(base_id)
        return [f"What of {document_id or 'trees'}?"]

    def _base(self, base_id: str) -> None:
        if base_id not in self.known:
            raise UnknownBase(f"There is no base {base_id!r}.")

    def _document(self, document_id: str) -> None:
        if document_id != "d1":
            raise UnknownDocument("There is no such document.")


class StubStore:
    def __init__(self) -> None:
        self.removed: list[str] = []

    def pull(
        self, name: str, context: Context, *, accept_licence: str = ""
    ) -> Iterator[Progress | ModelReady]:
        if name != "tiny":
            raise UnknownModel(f"There is no model {name!r}.")
        yield Progress(stage="download", done=1, total=2)
        yield ModelReady(name=name, path="/m", size_bytes=2, already=False)

    def remove(self, name: str) -> None:
        if name != "tiny":
            raise UnknownModel(f"There is no model {name!r}.")
        self.removed.append(name)


class StubConnections:
    def list(self) -> list[Connection]:
        return []

    def add(
        self, url: str, context: Context, *, model: str = "", key: str = "", name: str = ""
    ) -> Connected:
        return Connected(
            name="big", url=url, model=model or "big", kind="chat", models=("big",), sample="Hi."
        )

    def discover(self, context: Context) -> list[LocalServer]:
        return [LocalServer(url="http://127.0.0.1:11434/v1", models=("big",))]


class StubApp:
    """The names the server uses of ``banyan.app.App``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.library = StubLibrary()
        self.store = StubStore()
        self.connections = StubConnections()
        self.answer_model = ""
        self.cluster: Any = None
        self.chats: dict[str, Any] = {
            "tiny": RecordingModel(),
            "scripted": ScriptedChatModel(*["Hello there."] * 20),
        }

    def models(self) -> list[ModelInfo]:
        return [
            *(
                ModelInfo(name=name, kind="chat", state="ready", context_length=2048)
                for name in self.chats
            ),
            ModelInfo(name="hash-64", kind="embedding", state="ready"),
        ]

    def chat_model(self, name: str) -> Any:
        if name not in self.chats:
            raise UnknownModel(f"There is no model {name!r}.")
        return self.chats[name]

    def text_model(self, name: str) -> Any:
        return self.chat_model(name)

    def embedder(self, name: str) -> HashEmbedder:
        if name != "hash-64":
            raise UnknownModel(f"There is no model {name!r}.")
        return HashEmbedder()

    def remove_model(self, name: str, context: Context) -> None:
        self.store.remove(name)

    def set_answer_model(self, name: str) -> None:
        self.answer_model = name

    def status(self) -> dict[str, object]:
        return {"machine": {}, "memory": {"processes": []}, "engine": {"state": "idle"}}
