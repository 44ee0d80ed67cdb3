"""Documents and their chunks as rows: written whole, read back, deleted without a trace."""

from __future__ import annotations

import itertools
import json
import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

import numpy as np

from banyan.core.context import Principal
from banyan.core.errors import UnknownDocument
from banyan.core.types import Language, Passage
from banyan.knowledge import journal, postings, vectors
from banyan.knowledge.chunks import Chunk, IndexedDocument, passage_id
from banyan.knowledge.embed import Embedders
from banyan.knowledge.records import Block, BlockKind, Document, DocumentRecord

_RECORD_FIELDS = (
    *("id", "base_id", "path", "title", "media_type", "size_bytes", "sha256", "label", "status"),
    *("reason", "language", "pages", "chunks", "added_at"),
)


def insert(db: sqlite3.Connection, documents: Sequence[IndexedDocument]) -> None:
    """Write documents of one base; those of one label share a new segment, which is merged."""
    embedders = _embedders(db, documents)
    by_label: defaultdict[tuple[str, str], list[IndexedDocument]] = defaultdict(list)
    for document in documents:
        by_label[document.record.base_id, document.record.label].append(document)
    for (base_id, label), group in by_label.items():
        segment = _new_segment(db, base_id, label)
        rows: dict[int, Sequence[str]] = {}
        for document in group:
            _insert_record(db, document, segment if document.chunks else None)
            for position, chunk in enumerate(document.chunks):
                row = _insert_chunk(db, document.record.id, position, chunk, embedders)
                rows[row] = chunk.terms
        if rows:
            postings.add(db, segment, rows)
        postings.merge(db, base_id, label)


def _new_segment(db: sqlite3.Connection, base_id: str, label: str) -> int:
    return _row_id(
        db.execute(
            "INSERT INTO segments (base_id, label, revision, chunks, terms) VALUES (?, ?, 0, 0, 0)",
            (base_id, label),
        )
    )


def _row_id(cursor: sqlite3.Cursor) -> int:
    if cursor.lastrowid is None:
        raise sqlite3.DatabaseError("an insert gave no row id")
    return cursor.lastrowid


def _insert_record(db: sqlite3.Connection, entry: IndexedDocument, segment: int | None) -> None:
    record = entry.record
    values = [getattr(record, name) for name in _RECORD_FIELDS]
    db.execute(
        "INSERT INTO documents (id, base_id, path, title, media_type, size_bytes, sha256, label,"
        " status, reason, language, pages, chunks, added_at, segment_id)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*values, segment),
    )
    if entry.chunks:
        db.execute(
            "INSERT INTO outlines (document_id, blocks) VALUES (?, ?)",
            (record.id, pack_blocks(entry.document)),
        )


def _insert_chunk(
    db: sqlite3.Connection,
    document_id: str,
    position: int,
    chunk: Chunk,
    embedders: Mapping[str, int],
) -> int:
    row = _row_id(
        db.execute(
            "INSERT INTO chunks (document_id, position, start, end, page, language, heading_path,"
            " text, sentences, terms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(document_id, position, chunk.start, chunk.end, chunk.page, chunk.language),
                *(json.dumps(chunk.heading_path, ensure_ascii=False), chunk.text),
                *(pack_ranges(chunk.sentences), pack_terms(chunk.terms)),
            ),
        )
    )
    for name, vector in chunk.vectors.items():
        db.execute(
            "INSERT INTO vectors (chunk_id, embedder_id, vector) VALUES (?, ?, ?)",
            (row, embedders[name], vectors.pack(vector[None, :])[0]),
        )
    for name, matrix in chunk.sentence_vectors.items():
        db.execute(
            "INSERT INTO sentence_vectors (chunk_id, embedder_id, vectors) VALUES (?, ?, ?)",
            (row, embedders[name], b"".join(vectors.pack(matrix))),
        )
    return row


def _embedders(db: sqlite3.Connection, documents: Sequence[IndexedDocument]) -> dict[str, int]:
    """The numbers of the embedders met in ``documents``; a new one is entered."""
    sizes = {
        name: len(vector)
        for document in documents
        for chunk in document.chunks
        for name, vector in chunk.vectors.items()
    }
    db.executemany(
        "INSERT INTO embedders (name, dimensions) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
        sizes.items(),
    )
    return dict(db.execute("SELECT name, id FROM embedders").fetchall())


def delete(db: sqlite3.Connection, document_ids: Iterable[str]) -> None:
    """Remove documents from every table and index, with the traces and turns that quote them."""
    doomed = json.dumps(list(document_ids))
    _purge_postings(db, doomed)
    journal.forget_quoting(db, doomed)
    for statement in _DELETIONS:
        db.execute(statement, (doomed,))


_DELETIONS = (
    "DELETE FROM jobs WHERE document_id IN (SELECT value FROM json_each(?))",
    "DELETE FROM sentence_vectors WHERE chunk_id IN (SELECT id FROM chunks"
    " WHERE document_id IN (SELECT value FROM json_each(?)))",
    "DELETE FROM vectors WHERE chunk_id IN (SELECT id FROM chunks"
    " WHERE document_id IN (SELECT value FROM json_each(?)))",
    "DELETE FROM chunks WHERE document_id IN (SELECT value FROM json_each(?))",
    "DELETE FROM outlines WHERE document_id IN (SELECT value FROM json_each(?))",
    "DELETE FROM documents WHERE id IN (SELECT value FROM json_each(?))",
)


def _purge_postings(db: sqlite3.Connection, doomed: str) -> None:
    found = db.execute(
        "SELECT d.segment_id, c.id, c.terms FROM documents d JOIN chunks c ON c.document_id = d.id"
        " WHERE d.id IN (SELECT value FROM json_each(?)) ORDER BY d.segment_id",
        (doomed,),
    ).fetchall()
    for segment, rows in itertools.groupby(found, key=lambda row: row[0]):
        chunks: Mapping[int, Sequence[str]] = {row: unpack_terms(terms) for _, row, terms in rows}
        postings.purge(db, segment, chunks)
    db.execute(
        "UPDATE documents SET segment_id = NULL WHERE id IN (SELECT value FROM json_each(?))",
        (doomed,),
    )
    db.execute("DELETE FROM segments WHERE chunks = 0")


def records(db: sqlite3.Connection, base_id: str, principal: Principal) -> list[DocumentRecord]:
    """The documents of a base that ``principal`` may see, by path."""
    found = db.execute("SELECT * FROM records WHERE base_id = ? ORDER BY path, label", (base_id,))
    return [record for record in map(record_of, found) if principal.may_see(record.label)]


def versions(
    db: sqlite3.Connection, base_id: str, path: str, principal: Principal
) -> list[DocumentRecord]:
    """What the store holds under a path: one a label, only what ``principal`` may see."""
    found = db.execute("SELECT * FROM records WHERE base_id = ? AND path = ?", (base_id, path))
    return [record for record in map(record_of, found) if principal.may_see(record.label)]


def has_vectors(db: sqlite3.Connection, record: DocumentRecord, embedders: Embedders) -> bool:
    """Whether every chunk of a document has the vectors that ``embedders`` would give it."""
    missing = 0
    for language in get_args(Language):
        for embedder in embedders.of(language):
            missing += db.execute(
                "SELECT COUNT(*) FROM chunks c WHERE document_id = ? AND language = ?"
                " AND NOT EXISTS (SELECT 1 FROM vectors v JOIN embedders e ON e.id = v.embedder_id"
                " WHERE v.chunk_id = c.id AND e.name = ?)",
                (record.id, language, embedder.name),
            ).fetchone()[0]
    return missing == 0


def record(db: sqlite3.Connection, document_id: str, principal: Principal) -> DocumentRecord:
    """One document's record; ``UnknownDocument`` where there is none to be seen."""
    found = db.execute("SELECT * FROM records WHERE id = ?", (document_id,)).fetchone()
    if found is None or not principal.may_see(record_of(found).label):
        raise UnknownDocument(f"There is no document {document_id!r}.")
    return record_of(found)


def content(db: sqlite3.Connection, record: DocumentRecord) -> Document:
    """The document as it was parsed; a failed one has no blocks."""
    text = "".join(
        row[0]
        for row in db.execute(
            "SELECT text FROM chunks WHERE document_id = ? ORDER BY position", (record.id,)
        )
    )
    packed = db.execute(
        "SELECT blocks FROM outlines WHERE document_id = ?", (record.id,)
    ).fetchone()
    blocks = () if packed is None else unpack_blocks(packed[0], text)
    return Document(title=record.title, media_type=record.media_type, blocks=blocks)


def passage(db: sqlite3.Connection, name: str, principal: Principal) -> Passage:
    """One chunk by its public name; ``UnknownDocument`` where there is none to be seen."""
    document_id, _, position = name.rpartition("-")
    found = None
    if position.isdecimal() and len(position) < 10:
        found = db.execute(
            "SELECT * FROM passages WHERE document_id = ? AND position = ?",
            (document_id, int(position)),
        ).fetchone()
    if found is None or not principal.may_see(passage_of(found).label):
        raise UnknownDocument(f"There is no passage {name!r}.")
    return passage_of(found)


def record_of(row: Sequence[Any]) -> DocumentRecord:
    """A row of the view ``records`` as a record."""
    return DocumentRecord(**dict(zip(_RECORD_FIELDS, row, strict=True)))


def passage_of(row: Sequence[Any]) -> Passage:
    """A row of the view ``passages`` as a passage of score 0."""
    _, document_id, position, base_id, title, label, path, text, start, end, page, language = row
    return Passage(
        id=passage_id(document_id, position),
        base_id=base_id,
        document_id=document_id,
        title=title,
        heading_path=tuple(json.loads(path)),
        text=text,
        start=start,
        end=end,
        page=page,
        label=label,
        language=language,
        score=0.0,
    )


def pack_blocks(document: Document) -> bytes:
    """What the text does not say about its blocks: kind, level, page and length of each."""
    shape = [[block.kind, block.level, block.page, len(block.text)] for block in document.blocks]
    return zlib.compress(json.dumps(shape, separators=(",", ":")).encode(), level=1)


def unpack_shape(packed: bytes) -> list[tuple[BlockKind, int, int | None, int]]:
    """(kind, level, page, length) of each block."""
    return [tuple(block) for block in json.loads(zlib.decompress(packed))]


def unpack_blocks(packed: bytes, text: str) -> tuple[Block, ...]:
    blocks, start = [], 0
    for kind, level, page, length in unpack_shape(packed):
        blocks.append(Block(kind=kind, level=level, page=page, text=text[start : start + length]))
        start += length + 2  # the blank line between blocks
    return tuple(blocks)


def pack_ranges(ranges: Sequence[tuple[int, int]]) -> bytes:
    return np.array(ranges, dtype="<u4").tobytes()


def unpack_ranges(packed: bytes) -> list[tuple[int, int]]:
    return [(start, end) for start, end in np.frombuffer(packed, "<u4").reshape(-1, 2).tolist()]


def pack_terms(terms: Sequence[str]) -> bytes:
    return zlib.compress(" ".join(terms).encode(), level=1)


def unpack_terms(packed: bytes) -> list[str]:
    return zlib.decompress(packed).decode().split()
