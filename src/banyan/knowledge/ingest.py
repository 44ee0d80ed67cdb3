"""Ingest: sources in, searchable documents out, in groups that are committed whole.

read -> cut -> embed -> commit. A group is some files whose texts are embedded together, because
batches are faster than files. What a killed process had not committed was never visible and is
simply read again; what it had committed is recognised by its hash and left alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from banyan.core.context import Context
from banyan.core.errors import (
    AccessError,
    BrokenDocument,
    DocumentError,
    EmptyDocument,
    InputError,
)
from banyan.core.events import DocumentAdded, Event, Progress
from banyan.knowledge import bases, documents, index
from banyan.knowledge.ahead import ahead
from banyan.knowledge.chunks import IndexedDocument
from banyan.knowledge.embed import Embedders
from banyan.knowledge.index import Draft, Place
from banyan.knowledge.records import DocumentRecord
from banyan.knowledge.sources import Fingerprint, Source
from banyan.knowledge.store import Store

GROUP_CHUNKS = 64
"""Chunks after which a group is embedded and committed: some seconds of work on a slow machine, so
that files are seen to become ready and an interruption loses little; larger is hardly faster."""

GROUP_S = 5.0
"""Seconds of reading after which a group is embedded and committed."""

READ_AHEAD = 32
"""Files and progress notes that may be read before the ones in front are embedded."""

MAX_PATH_CHARS = 4096

Status = Literal["ready", "unchanged", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    draft: Draft
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """One run of sources into one base under one label."""

    store: Store
    embedders: Embedders
    base_id: str
    label: str

    def run(self, sources: Sequence[Source], context: Context) -> Iterator[Event]:
        """Yield ``Progress`` and one ``DocumentAdded`` a source; a bad file stops nothing.

        Raises ``UnknownBase``, ``AccessError`` for a label the caller may not see, ``InputError``
        for two sources of one path, ``Cancelled``.
        """
        self._check_allowed(context)
        _check_paths(sources)
        group: list[_Read] = []
        started = time.monotonic()
        for one in ahead(partial(self._reads, sources), context, depth=READ_AHEAD):
            if isinstance(one, Progress | DocumentAdded):
                yield one
                continue
            if one.draft.entry.record.status == "failed":  # nothing to embed, nothing to wait for
                yield from self._finish([one], context)
                continue
            group.append(one)
            if _is_full(group, started):
                yield from self._finish(group, context)
                group, started = [], time.monotonic()
        yield from self._finish(group, context)
        yield Progress(stage="read", done=len(sources), total=len(sources))

    def _reads(
        self, sources: Sequence[Source], context: Context
    ) -> Iterator[Progress | DocumentAdded | _Read]:
        """Read the sources in turn; the parser works on one while others are embedded."""
        for number, source in enumerate(sources):
            context.check()
            yield Progress(stage="read", done=number, total=len(sources), item=source.path)
            yield self._read(source, context)

    def _check_allowed(self, context: Context) -> None:
        if not context.principal.may_see(self.label):
            raise AccessError(
                f"{context.principal.name} may not add under the label {self.label!r}.",
                remedy="Use a label of your own.",
            )
        with self.store.read() as db:
            bases.check(db, self.base_id)

    def _read(self, source: Source, context: Context) -> _Read | DocumentAdded:
        """The draft of a source, or its end where there is nothing to commit."""
        started = time.perf_counter()
        place = Place(base_id=self.base_id, path=source.path, label=self.label)
        fingerprint = source.fingerprint(context)
        known = self._unchanged(place, fingerprint, context)
        if known is not None:
            return _added(known, "unchanged", time.perf_counter() - started)
        draft = _drafted(source, place, fingerprint, context)
        return _Read(draft=draft, seconds=time.perf_counter() - started)

    def _unchanged(
        self, place: Place, fingerprint: Fingerprint, context: Context
    ) -> DocumentRecord | None:
        """The record that makes reading needless: same content, same label, every vector there.

        A failed file is always read again: its limits or its parser may have changed.
        """
        with self.store.read() as db:
            found = documents.versions(db, place.base_id, place.path, context.principal)
            match found:
                case [DocumentRecord(status="ready") as one] if one.id == index.document_id(
                    place, fingerprint
                ) and documents.has_vectors(db, one, self.embedders):
                    return one
        return None

    def _finish(self, group: Sequence[_Read], context: Context) -> Iterator[Event]:
        """Embed and commit a group."""
        if not group:
            return
        started = time.perf_counter()
        steps = index.embedded([one.draft for one in group], self.embedders, context)
        while True:
            try:
                done, total = next(steps)
            except StopIteration as ended:
                entries: list[IndexedDocument] = ended.value
                break
            yield Progress(stage="embed", done=done, total=total)
        self._commit(entries, context)
        share = (time.perf_counter() - started) / max(sum(len(e.chunks) for e in entries), 1)
        for one, entry in zip(group, entries, strict=True):
            seconds = one.seconds + share * len(entry.chunks)
            yield _added(entry.record, entry.record.status, seconds)

    def _commit(self, entries: Sequence[IndexedDocument], context: Context) -> None:
        """Replace, in one transaction, what the caller may see under the same paths."""
        with self.store.write(context) as db:
            bases.check(db, self.base_id)
            replaced = [
                version.id
                for entry in entries
                for version in documents.versions(
                    db, self.base_id, entry.record.path, context.principal
                )
            ]
            documents.delete(db, replaced)
            documents.insert(db, entries)
        if replaced:
            self.store.scrub()


def _check_paths(sources: Sequence[Source]) -> None:
    seen: set[str] = set()
    for source in sources:
        if source.path in seen:
            raise InputError(f"Two documents are called {source.path[:200]!r}.")
        seen.add(source.path)


def _is_full(group: Sequence[_Read], started: float) -> bool:
    chunks = sum(len(one.draft.entry.chunks) for one in group)
    return chunks >= GROUP_CHUNKS or time.monotonic() - started > GROUP_S


def _drafted(source: Source, place: Place, fingerprint: Fingerprint, context: Context) -> Draft:
    try:
        if len(source.path) > MAX_PATH_CHARS:
            raise BrokenDocument(f"The path is over {MAX_PATH_CHARS} characters long.")
        document = source.document(context)
        document.text.encode()
        draft = index.draft(place, fingerprint, document, context)
        if not draft.entry.chunks:
            raise EmptyDocument(f"{source.path} holds no text.")
    except DocumentError as error:
        return index.failed(place, fingerprint, f"{error} {error.remedy}".strip())
    except UnicodeEncodeError:
        return index.failed(place, fingerprint, "The text holds characters that are none.")
    return draft


def _added(record: DocumentRecord, status: Status, seconds: float) -> DocumentAdded:
    return DocumentAdded(
        document_id=record.id,
        path=record.path,
        status=status,
        reason=record.reason,
        chunks=record.chunks,
        seconds=seconds,
    )
