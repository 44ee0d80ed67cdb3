"""Bases as rows: made, listed with what the caller may see of them, removed whole."""

from __future__ import annotations

import re
import sqlite3
from datetime import UTC, datetime

from banyan.core.context import Principal
from banyan.core.errors import Conflict, InputError, UnknownBase
from banyan.knowledge import journal
from banyan.knowledge.records import Base

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
MAX_TITLE_CHARS = 200
_READING = "reading:"


def create(db: sqlite3.Connection, base_id: str, title: str) -> None:
    """Enter an empty base; ``InputError`` for a bad id or title, ``Conflict`` if it exists."""
    if not _ID.fullmatch(base_id):
        raise InputError(
            f"{base_id[:80]!r} cannot be the name of a base.",
            remedy="Use 1 to 63 small letters, digits, hyphens and underscores: team-notes.",
        )
    if not title.strip() or len(title) > MAX_TITLE_CHARS or not title.isprintable():
        raise InputError(f"A title has 1 to {MAX_TITLE_CHARS} characters and fits on one line.")
    try:
        db.execute(
            "INSERT INTO bases (id, title, created_at) VALUES (?, ?, ?)",
            (base_id, title.strip(), datetime.now(UTC).isoformat(timespec="seconds")),
        )
    except sqlite3.IntegrityError:
        raise Conflict(f"There is a base {base_id!r} already.") from None


def check(db: sqlite3.Connection, base_id: str) -> None:
    """Raise ``UnknownBase`` where there is none of that name."""
    if db.execute("SELECT 1 FROM bases WHERE id = ?", (base_id,)).fetchone() is None:
        raise UnknownBase(
            f"There is no base {base_id[:80]!r}.",
            remedy="`banyan knowledge bases` lists them; `banyan knowledge create` makes one.",
        )


def listed(db: sqlite3.Connection, principal: Principal) -> list[Base]:
    """Every base, counting only documents that ``principal`` may see."""
    counts: dict[str, list[int]] = {}
    for base_id, label, entries, chunks, failures in db.execute(
        "SELECT base_id, label, COUNT(*), SUM(chunks), SUM(status = 'failed')"
        " FROM documents GROUP BY base_id, label"
    ):
        if principal.may_see(label):
            seen = counts.setdefault(base_id, [0, 0, 0])
            seen[:] = seen[0] + entries, seen[1] + chunks, seen[2] + failures
    reading = _reading(db)
    return [
        Base(
            id=base_id,
            title=title,
            documents=counts.get(base_id, [0, 0, 0])[0],
            chunks=counts.get(base_id, [0, 0, 0])[1],
            failed=counts.get(base_id, [0, 0, 0])[2],
            reading=reading.get(base_id, 0),
        )
        for base_id, title in db.execute("SELECT id, title FROM bases ORDER BY created_at, id")
    ]


def set_reading(db: sqlite3.Connection, base_id: str, files: int) -> None:
    """Note how many files of a base are being read outside the queue; 0 when none is."""
    db.execute("DELETE FROM facts WHERE name = ?", (_READING + base_id,))
    if files:
        db.execute("INSERT INTO facts (name, value) VALUES (?, ?)", (_READING + base_id, files))


def _reading(db: sqlite3.Connection) -> dict[str, int]:
    """Files in the queue and outside it that cannot be found yet, by base."""
    found: dict[str, int] = dict(
        db.execute(
            "SELECT base_id, COUNT(*) FROM jobs WHERE state IN ('waiting', 'working')"
            " GROUP BY base_id"
        )
    )
    for name, files in db.execute("SELECT name, value FROM facts WHERE name GLOB 'reading:*'"):
        base_id = name.removeprefix(_READING)
        found[base_id] = found.get(base_id, 0) + int(files)
    return found


def remove(db: sqlite3.Connection, base_id: str) -> None:
    """Delete a base with all that is in it, whatever its labels; ``UnknownBase``."""
    check(db, base_id)
    journal.forget_base(db, base_id)
    for statement in _REMOVALS:
        db.execute(statement, (base_id,))


_REMOVALS = (
    "DELETE FROM facts WHERE name = 'reading:' || ?",
    "DELETE FROM jobs WHERE base_id = ?",
    "DELETE FROM postings WHERE segment_id IN (SELECT id FROM segments WHERE base_id = ?)",
    "DELETE FROM sentence_vectors WHERE chunk_id IN (SELECT c.id FROM chunks c"
    " JOIN documents d ON d.id = c.document_id WHERE d.base_id = ?)",
    "DELETE FROM vectors WHERE chunk_id IN (SELECT c.id FROM chunks c"
    " JOIN documents d ON d.id = c.document_id WHERE d.base_id = ?)",
    "DELETE FROM chunks WHERE document_id IN (SELECT id FROM documents WHERE base_id = ?)",
    "DELETE FROM outlines WHERE document_id IN (SELECT id FROM documents WHERE base_id = ?)",
    "DELETE FROM documents WHERE base_id = ?",
    "DELETE FROM segments WHERE base_id = ?",
    "DELETE FROM bases WHERE id = ?",
)
