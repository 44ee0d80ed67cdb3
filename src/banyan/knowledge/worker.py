"""The ingest worker: takes jobs in small groups until it is told to stop.

One worker a folder: it holds a lock that the kernel gives up when the process dies, so a worker
that gets the lock knows that whatever is marked as in work was left by a dead one.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from banyan.core.context import Context, Principal
from banyan.core.errors import BanyanError, Cancelled
from banyan.core.events import DocumentAdded, Event, Progress
from banyan.knowledge import jobs
from banyan.knowledge.embed import Embedders
from banyan.knowledge.ingest import Ingest
from banyan.knowledge.jobs import Task
from banyan.knowledge.parse.limits import ParseLimits
from banyan.knowledge.parse.parse import Parser
from banyan.knowledge.refresh import refresh
from banyan.knowledge.sources import FileSource
from banyan.knowledge.store import Store

LOCK_NAME = "worker.lock"
GROUP_FILES = 16
_POLL_S = 0.25
_STAGE_EVERY_S = 0.5


def work(store: Store, embedders: Embedders, limits: ParseLimits, stop: threading.Event) -> None:
    """Work on the jobs of ``store`` until ``stop`` is set; waits where another worker does.

    First it gives documents the vectors of an embedder that came after them.
    """
    with _only_worker(store.path.parent / LOCK_NAME, stop) as alone:
        if not alone:
            return
        with store.write(Context()) as db:
            given_up = jobs.recover(db)
        for file in given_up:
            discard(file)
        with suppress(Cancelled):
            for _ in refresh(store, embedders, Context(cancel=stop)):
                pass
        with Parser(limits) as parser:
            while not stop.is_set():
                group = _take(store)
                if group:
                    _Group(store, embedders, parser, limits, group).run(stop)
                else:
                    stop.wait(_POLL_S)


def _take(store: Store) -> list[Task]:
    with store.read() as db:
        if not db.execute("SELECT 1 FROM jobs WHERE state = 'waiting' LIMIT 1").fetchone():
            return []
    with store.write(Context()) as db:
        return jobs.take(db, GROUP_FILES)


@contextmanager
def _only_worker(path: Path, stop: threading.Event) -> Iterator[bool]:
    """Hold the folder's worker lock; yields False when told to stop before it came free."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not stop.is_set():
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stop.wait(_POLL_S)
                continue
            yield True
            return
        yield False
    finally:
        os.close(descriptor)


@dataclass(slots=True)
class _Group:
    """Jobs of one base, label and owner that are ingested together."""

    store: Store
    embedders: Embedders
    parser: Parser
    limits: ParseLimits
    tasks: Sequence[Task]
    left: dict[str, Task] = field(init=False)
    begun: set[str] = field(default_factory=set)
    staged_at: float = 0.0

    def __post_init__(self) -> None:
        self.left = {task.path: task for task in self.tasks}

    def run(self, stop: threading.Event) -> None:
        first = self.tasks[0]
        context = Context(principal=first.principal, base_id=first.base_id, cancel=stop)
        ingest = Ingest(
            store=self.store,
            embedders=self.embedders,
            base_id=first.base_id,
            label=first.label,
        )
        try:
            for event in ingest.run([self._source(task) for task in self.tasks], context):
                self._note(event)
        except Cancelled:
            self._release(uncounted=True)
        except BanyanError as error:
            self._give_up(error)

    def _source(self, task: Task) -> FileSource:
        return FileSource(
            path=task.path,
            file=task.file,
            parser=self.parser,
            limit_bytes=self.limits.max_upload_bytes,
        )

    def _note(self, event: Event) -> None:
        match event:
            case DocumentAdded():
                self._end(self.left.pop(event.path), event)
            case Progress(stage="read") if event.item in self.left:
                self.begun.add(event.item)
                self._stage([self.left[event.item].id], "reading")
            case Progress(stage="embed") if time.monotonic() > self.staged_at + _STAGE_EVERY_S:
                self.staged_at = time.monotonic()
                stage = f"embedding {event.done} of {event.total}"
                at_it = [task.id for task in self.left.values() if task.path in self.begun]
                self._stage(at_it, stage)

    def _stage(self, job_ids: Sequence[str], stage: str) -> None:
        with self.store.write(Context()) as db:
            jobs.set_stage(db, job_ids, stage)

    def _end(self, task: Task, event: DocumentAdded) -> None:
        with self.store.write(Context()) as db:
            if event.status == "failed":
                jobs.failed(db, task.id, event.reason, event.document_id)
            else:
                jobs.done(db, task.id, event.document_id, event.seconds)
        discard(task.file)

    def _release(self, *, uncounted: bool) -> None:
        with self.store.write(Context()) as db:
            for task in self.left.values():
                jobs.release(db, task.id, uncounted=uncounted)

    def _give_up(self, error: BanyanError) -> None:
        """An error of no single file: alone it ends the job, in company each is tried again."""
        if len(self.tasks) > 1:
            self._release(uncounted=False)
            return
        task = self.tasks[0]
        with self.store.write(Context(principal=Principal())) as db:
            jobs.failed(db, task.id, f"{error} {error.remedy}".strip())
        discard(task.file)


def discard(file: Path) -> None:
    """Remove an uploaded file, and the folder it had to itself."""
    with suppress(OSError):
        file.unlink(missing_ok=True)
        file.parent.rmdir()
