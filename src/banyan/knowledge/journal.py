"""The journal: a trace of each question and the turns of each conversation, bounded and private.

An entry is seen only by the principal that made it, and only while they may still see every label
it quotes. It is removed with any document it quotes, and the oldest go when there are too many.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from banyan.core.context import Context, Principal
from banyan.core.errors import InputError, LimitExceeded, UnknownDocument
from banyan.knowledge.history import TURNS_KEPT as TURNS_READ
from banyan.knowledge.history import TraceRecord, Turn
from banyan.knowledge.store import Store

TRACES_KEPT = 1000
TURNS_KEPT = 5000
MAX_ENTRY_BYTES = 1 << 20
"""Most JSON of one trace or turn."""


class StoreHistory:
    """The ``History`` of a store: each entry is a short transaction of its own."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def turns(self, conversation_id: str, context: Context) -> list[Turn]:
        with self._store.read() as db:
            records = turns(db, conversation_id, context.principal, TURNS_READ)
        return [
            Turn(**{**record, "document_ids": tuple(record["document_ids"])}) for record in records
        ]

    def add_turn(self, conversation_id: str, turn: Turn, context: Context) -> None:
        if context.base_id is None:
            raise InputError("A turn belongs to a base: the context names none.")
        with self._store.write(context) as db:
            add_turn(
                db,
                conversation_id,
                context.base_id,
                asdict(turn),
                turn.document_ids,
                context.principal,
            )

    def add_trace(self, record: TraceRecord, context: Context) -> None:
        with self._store.write(context) as db:
            add_trace(
                db,
                record.id,
                record.base_id,
                record.to_json(),
                record.document_ids,
                context.principal,
            )


def add_trace(
    db: sqlite3.Connection,
    trace_id: str,
    base_id: str,
    record: Mapping[str, object],
    document_ids: Collection[str],
    principal: Principal,
) -> None:
    """Keep the record of a question, and of all questions the last ``TRACES_KEPT``.

    ``document_ids`` are the documents it quotes; when one of them has gone meanwhile, nothing is
    kept.
    """
    if not _all_exist(db, document_ids):
        return
    labels = _labels(db, document_ids)
    db.execute(
        "INSERT INTO traces (id, base_id, principal, labels, record) VALUES (?, ?, ?, ?, ?)",
        (trace_id, base_id, principal.name, labels, _pack(record)),
    )
    _quote(db, "trace", trace_id, document_ids)
    for (oldest,) in db.execute(
        "SELECT id FROM traces ORDER BY rowid DESC LIMIT -1 OFFSET ?", (TRACES_KEPT,)
    ).fetchall():
        db.execute("DELETE FROM quotes WHERE kind = 'trace' AND entry_id = ?", (oldest,))
        db.execute("DELETE FROM traces WHERE id = ?", (oldest,))


def trace(db: sqlite3.Connection, trace_id: str, principal: Principal) -> dict[str, Any]:
    """The record of one question as JSON values; ``UnknownDocument`` where none may be seen."""
    found = db.execute(
        "SELECT principal, labels, record FROM traces WHERE id = ?", (trace_id,)
    ).fetchone()
    if found is None or not _may_see(principal, found[0], found[1]):
        raise UnknownDocument(f"There is no trace {trace_id!r}.")
    return _unpack(found[2])


def add_turn(
    db: sqlite3.Connection,
    conversation_id: str,
    base_id: str,
    record: Mapping[str, object],
    document_ids: Collection[str],
    principal: Principal,
) -> None:
    """Keep one turn of a conversation, as ``add_trace`` does a trace."""
    if not _all_exist(db, document_ids):
        return
    number = db.execute(
        "INSERT INTO turns (conversation_id, base_id, principal, record) VALUES (?, ?, ?, ?)",
        (conversation_id, base_id, principal.name, _pack(record)),
    ).lastrowid
    _quote(db, "turn", str(number), document_ids)
    for (oldest,) in db.execute(
        "SELECT id FROM turns ORDER BY id DESC LIMIT -1 OFFSET ?", (TURNS_KEPT,)
    ).fetchall():
        db.execute("DELETE FROM quotes WHERE kind = 'turn' AND entry_id = ?", (str(oldest),))
        db.execute("DELETE FROM turns WHERE id = ?", (oldest,))


def turns(
    db: sqlite3.Connection, conversation_id: str, principal: Principal, limit: int
) -> list[dict[str, Any]]:
    """The last ``limit`` turns of the principal's own conversation, oldest first."""
    found = db.execute(
        "SELECT record FROM turns WHERE conversation_id = ? AND principal = ?"
        " ORDER BY id DESC LIMIT ?",
        (conversation_id, principal.name, limit),
    ).fetchall()
    return [_unpack(packed) for (packed,) in reversed(found)]


def forget_quoting(db: sqlite3.Connection, document_ids: str) -> None:
    """Delete every entry that quotes one of ``document_ids`` (a JSON list)."""
    quoting = db.execute(
        "SELECT DISTINCT kind, entry_id FROM quotes"
        " WHERE document_id IN (SELECT value FROM json_each(?))",
        (document_ids,),
    ).fetchall()
    for kind, entry in quoting:
        db.execute("DELETE FROM quotes WHERE kind = ? AND entry_id = ?", (kind, entry))
        if kind == "trace":
            db.execute("DELETE FROM traces WHERE id = ?", (entry,))
        else:
            db.execute("DELETE FROM turns WHERE id = ?", (int(entry),))


def forget_base(db: sqlite3.Connection, base_id: str) -> None:
    """Delete every entry of a base, those that quote nothing too."""
    for statement in (
        "DELETE FROM quotes WHERE kind = 'trace'"
        " AND entry_id IN (SELECT id FROM traces WHERE base_id = ?)",
        "DELETE FROM quotes WHERE kind = 'turn'"
        " AND entry_id IN (SELECT CAST(id AS TEXT) FROM turns WHERE base_id = ?)",
        "DELETE FROM traces WHERE base_id = ?",
        "DELETE FROM turns WHERE base_id = ?",
    ):
        db.execute(statement, (base_id,))


def _quote(db: sqlite3.Connection, kind: str, entry_id: str, document_ids: Collection[str]) -> None:
    db.executemany(
        "INSERT INTO quotes (document_id, kind, entry_id) VALUES (?, ?, ?)",
        ((document_id, kind, entry_id) for document_id in set(document_ids)),
    )


def _all_exist(db: sqlite3.Connection, document_ids: Collection[str]) -> bool:
    found: int = db.execute(
        "SELECT COUNT(*) FROM documents WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(document_ids)),),
    ).fetchone()[0]
    return found == len(set(document_ids))


def _labels(db: sqlite3.Connection, document_ids: Collection[str]) -> str:
    found = db.execute(
        "SELECT DISTINCT label FROM documents WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(document_ids)),),
    )
    return json.dumps(sorted(label for (label,) in found))


def _may_see(principal: Principal, owner: str, labels: str) -> bool:
    return principal.name == owner and all(map(principal.may_see, json.loads(labels)))


def _pack(record: Mapping[str, object]) -> bytes:
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
    if len(text) > MAX_ENTRY_BYTES:
        raise LimitExceeded(
            "A trace", limit="MAX_ENTRY_BYTES", value=len(text), allowed=MAX_ENTRY_BYTES
        )
    return zlib.compress(text, level=1)


def _unpack(packed: bytes) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(zlib.decompress(packed))
    return record
