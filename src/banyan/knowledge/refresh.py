"""Refreshing: documents that were added before an embedder was there get its vectors.

Their text is in the store, so no file is needed. Each is committed anew under its own id, whole,
as any other document is.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from banyan.core.context import Context
from banyan.core.events import Event
from banyan.core.types import Language
from banyan.knowledge import documents
from banyan.knowledge.embed import Embedders
from banyan.knowledge.ingest import Ingest
from banyan.knowledge.records import Document, DocumentRecord
from banyan.knowledge.sources import Fingerprint
from banyan.knowledge.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSource:
    """A document of the store, as a source."""

    store: Store
    record: DocumentRecord

    @property
    def path(self) -> str:
        return self.record.path

    def fingerprint(self, context: Context) -> Fingerprint:
        return Fingerprint(sha256=self.record.sha256, size_bytes=self.record.size_bytes)

    def document(self, context: Context) -> Document:
        with self.store.read() as db:
            return documents.content(db, self.record)


def refresh(store: Store, embedders: Embedders, context: Context) -> Iterator[Event]:
    """Embed what lacks vectors of ``embedders``; yields what ``Ingest.run`` does."""
    with store.read() as db:
        lacking = sorted(_lacking(db, embedders))
    for (base_id, label), group in itertools.groupby(lacking, key=lambda entry: entry[:2]):
        with store.read() as db:
            records = [documents.record(db, one, context.principal) for *_, one in group]
        ingest = Ingest(store=store, embedders=embedders, base_id=base_id, label=label)
        sources = [StoredSource(store=store, record=record) for record in records]
        yield from ingest.run(sources, context)


def _lacking(db: sqlite3.Connection, embedders: Embedders) -> set[tuple[str, str, str]]:
    """(base, label, document) of those with a chunk that has no vector it should have."""
    found: set[tuple[str, str, str]] = set()
    for language in get_args(Language):
        for embedder in embedders.of(language):
            found.update(
                db.execute(
                    "SELECT DISTINCT d.base_id, d.label, d.id FROM chunks c"
                    " JOIN documents d ON d.id = c.document_id WHERE c.language = ?"
                    " AND NOT EXISTS (SELECT 1 FROM vectors v JOIN embedders e"
                    " ON e.id = v.embedder_id WHERE v.chunk_id = c.id AND e.name = ?)",
                    (language, embedder.name),
                )
            )
    return found
