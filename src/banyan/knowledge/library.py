"""The knowledge facade: bases of documents in one folder, added to, searched and asked.

    add:  source -> parse -> split -> embed -> index -> commit
    ask:  question -> prepare -> retrieve -> fuse -> rerank -> select -> answer

Several processes may use one folder at a time: readers are never blocked, writers take turns, and
each sees at once what another has committed. Every call sees only what the context's principal
may see.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from banyan.core.context import PUBLIC, Context
from banyan.core.errors import AccessError
from banyan.core.events import DocumentAdded, Event
from banyan.core.ports import ChatModel, TextScorer
from banyan.core.types import Passage
from banyan.knowledge import archive, bases, documents, jobs, journal, sample, suggest, worker
from banyan.knowledge import ask as asking
from banyan.knowledge.ask import Mode, Resources
from banyan.knowledge.embed import Embedders
from banyan.knowledge.ingest import Ingest
from banyan.knowledge.parse.limits import ParseLimits
from banyan.knowledge.parse.parse import Parser
from banyan.knowledge.records import Base, Document, DocumentRecord, Job
from banyan.knowledge.sources import FileSource, GivenSource, Source, path_text, walk
from banyan.knowledge.store import Store
from banyan.knowledge.vectors import VectorCache
from banyan.knowledge.view import View


class Library:
    """One folder of knowledge; see the module. Safe to share between threads."""

    def __init__(
        self,
        folder: Path,
        *,
        embedders: Embedders,
        limits: ParseLimits,
        scorer: Callable[[], TextScorer | None] = lambda: None,
        writer: Callable[[], ChatModel | None] = lambda: None,
    ) -> None:
        """Open or create the store; loads no model. Raises ``StoreError``, ``SchemaMismatch``.

        ``scorer`` and ``writer`` are asked at each question, since either may come and go.
        """
        self._store = Store(folder)
        self._embedders = embedders
        self._limits = limits
        self._cache = VectorCache()
        self._scorer = scorer
        self._writer = writer

    def close(self) -> None:
        self._store.close()

    # Bases

    def bases(self, context: Context) -> list[Base]:
        with self._store.read() as db:
            return bases.listed(db, context.principal)

    def create_base(self, base_id: str, title: str, context: Context) -> Base:
        with self._store.write(context) as db:
            bases.create(db, base_id, title)
            return next(one for one in bases.listed(db, context.principal) if one.id == base_id)

    def remove_base(self, base_id: str, context: Context) -> None:
        """Remove a base with everything in it; only who may see every label may."""
        if context.principal.labels is not None:
            raise AccessError(
                "A base can only be removed by someone who may see every label.",
                remedy="Delete the documents you may see, or ask the operator.",
            )
        with self._store.write(context) as db:
            waiting = jobs.files(db, base_id)
            bases.remove(db, base_id)
        for file in waiting:
            worker.discard(file)
        self._store.scrub()

    def ensure_sample(self, context: Context) -> None:
        """Add the packaged sample base, once a folder: a removed one stays removed."""
        sample.ensure(self._store, self._embedders, self._limits, context)

    # Adding

    def add(
        self, paths: Sequence[Path], base_id: str, context: Context, *, label: str = PUBLIC
    ) -> Iterator[Event]:
        """Add files, and every file under folders, each known by its absolute path (as text).

        Yields ``Progress`` and one ``DocumentAdded`` a file; what has not changed is left alone,
        and a file that cannot be read becomes a record that says why.
        """
        files = list(walk(paths))
        for file in files:
            if not file.exists() and not file.is_symlink():
                reason = f"{path_text(file)} does not exist."
                yield DocumentAdded(
                    document_id="", path=path_text(file), status="failed", reason=reason
                )
        with Parser(self._limits) as parser:
            sources = [
                FileSource(
                    path=path_text(file),
                    file=file,
                    parser=parser,
                    limit_bytes=self._limits.max_upload_bytes,
                )
                for file in files
                if file.exists() or file.is_symlink()
            ]
            yield from self._ingest(sources, base_id, context, label)

    def add_documents(
        self,
        named: Sequence[tuple[str, Document]],
        base_id: str,
        context: Context,
        *,
        label: str = PUBLIC,
    ) -> Iterator[Event]:
        """As ``add``, for documents that are parsed already; ``named`` pairs a path with each."""
        sources = [GivenSource(path=path, given=document) for path, document in named]
        yield from self._ingest(sources, base_id, context, label)

    def _ingest(
        self, sources: Sequence[Source], base_id: str, context: Context, label: str
    ) -> Iterator[Event]:
        ingest = Ingest(store=self._store, embedders=self._embedders, base_id=base_id, label=label)
        yield from ingest.run(sources, context)

    def enqueue(
        self, path: Path, base_id: str, context: Context, *, label: str = PUBLIC, name: str
    ) -> Job:
        """Let the ingest worker add the file at ``path`` under ``name``.

        The file must lie in a folder of its own: both are removed when the job has ended.
        """
        if not context.principal.may_see(label):
            raise AccessError(f"{context.principal.name} may not add under the label {label!r}.")
        with self._store.write(context) as db:
            bases.check(db, base_id)
            return jobs.add(db, base_id, name, path, label, context.principal)

    def work(self, stop: threading.Event) -> None:
        """The ingest worker's loop: take jobs until ``stop`` is set. One works in a folder."""
        worker.work(self._store, self._embedders, self._limits, stop)

    def jobs(self, base_id: str, context: Context) -> list[Job]:
        with self._store.read() as db:
            bases.check(db, base_id)
            return jobs.listed(db, base_id, context.principal)

    # Reading

    def documents(self, base_id: str, context: Context) -> list[DocumentRecord]:
        with self._store.read() as db:
            bases.check(db, base_id)
            return documents.records(db, base_id, context.principal)

    def document(self, document_id: str, context: Context) -> tuple[DocumentRecord, Document]:
        with self._store.read() as db:
            record = documents.record(db, document_id, context.principal)
            return record, documents.content(db, record)

    def passage(self, passage_id: str, context: Context) -> Passage:
        with self._store.read() as db:
            return documents.passage(db, passage_id, context.principal)

    def delete(self, document_id: str, context: Context) -> None:
        """Delete a document from every index, with the traces and turns that quote it."""
        with self._store.write(context) as db:
            documents.record(db, document_id, context.principal)
            documents.delete(db, [document_id])
        self._store.scrub()

    # Asking

    @contextmanager
    def snapshot(self, base_id: str) -> Iterator[View]:
        """One moment of a base, for as long as the block lasts; ``UnknownBase``."""
        with self._store.read() as db:
            bases.check(db, base_id)
            yield View(db, base_id, self._cache)

    def search(
        self, question: str, base_id: str, context: Context, *, k: int = 10
    ) -> list[Passage]:
        """The best ``k`` passages; the trace is kept under ``context.trace.id``."""
        context = replace(context, base_id=base_id)
        with self.snapshot(base_id) as view:
            return asking.search(question, base_id, view, self._resources(None), context, k=k)

    def ask(
        self,
        question: str,
        base_id: str,
        context: Context,
        *,
        conversation_id: str | None = None,
        mode: Mode = "auto",
    ) -> Iterator[Event]:
        """Yield ``PassagesFound``, ``SentenceReady`` or one ``Refused``, then ``AnswerDone``."""
        context = replace(context, base_id=base_id)
        writer = None if mode == "extractive" else self._writer()
        with self.snapshot(base_id) as view:
            yield from asking.ask(
                question,
                base_id,
                view,
                self._resources(writer),
                context,
                conversation_id=conversation_id,
                mode=mode,
            )

    def _resources(self, writer: ChatModel | None) -> Resources:
        return Resources(
            embedders=self._embedders,
            scorer=self._scorer(),
            writer=writer,
            history=journal.StoreHistory(self._store),
        )

    def trace(self, trace_id: str, context: Context) -> dict[str, Any]:
        """The record of a question of one's own: steps, passages and answer, as JSON values."""
        with self._store.read() as db:
            return journal.trace(db, trace_id, context.principal)

    def suggest(
        self, base_id: str, context: Context, *, document_id: str | None = None, limit: int = 6
    ) -> list[str]:
        """Questions the headings of a base, or of one document, promise to answer."""
        with self._store.read() as db:
            bases.check(db, base_id)
            return suggest.questions(db, base_id, context.principal, document_id, limit)

    # Moving

    def export(self, base_id: str, target: Path, context: Context) -> None:
        """Write what the caller may see of a base, vectors included, into one new file."""
        archive.export(self._store, base_id, target, context)

    def import_(self, source: Path, context: Context) -> Base:
        """Create the base that an exported file holds; ``Conflict`` where its name is taken."""
        base_id = archive.import_(self._store, source, context)
        return next(one for one in self.bases(context) if one.id == base_id)
