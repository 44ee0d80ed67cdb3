"""The tables of the knowledge store, as an ordered list of migrations that only grows.

The version of a store is SQLite's own ``user_version``: the number of migrations applied.
"""

from __future__ import annotations

import sqlite3

from banyan.core.errors import SchemaMismatch

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE facts (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) WITHOUT ROWID;

    CREATE TABLE bases (
        id TEXT PRIMARY KEY,
        title TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) WITHOUT ROWID;

    CREATE TABLE documents (
        id TEXT PRIMARY KEY,
        base_id TEXT NOT NULL REFERENCES bases (id),
        path TEXT NOT NULL,
        title TEXT NOT NULL,
        media_type TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        label TEXT NOT NULL,
        status TEXT NOT NULL,
        reason TEXT NOT NULL,
        language TEXT NOT NULL,
        pages INTEGER NOT NULL,
        chunks INTEGER NOT NULL,
        added_at TEXT NOT NULL,
        segment_id INTEGER REFERENCES segments (id),
        UNIQUE (base_id, path, label)
    );
    CREATE INDEX documents_of_segment ON documents (segment_id);

    -- Where the blocks lie in the text that the chunks hold: apart, for it is rarely read.
    CREATE TABLE outlines (
        document_id TEXT PRIMARY KEY REFERENCES documents (id),
        blocks BLOB NOT NULL
    );

    -- Documents of one base and one label that share postings. Whoever may see the label may
    -- see all of it, so filtering is choosing segments. A purge raises the revision.
    CREATE TABLE segments (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        base_id TEXT NOT NULL REFERENCES bases (id),
        label TEXT NOT NULL,
        revision INTEGER NOT NULL,
        chunks INTEGER NOT NULL,
        terms INTEGER NOT NULL
    );
    CREATE INDEX segments_of_base ON segments (base_id);

    -- Ids are never used twice (AUTOINCREMENT): a stale row finds nothing, not a stranger.
    CREATE TABLE chunks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        document_id TEXT NOT NULL REFERENCES documents (id),
        position INTEGER NOT NULL,
        start INTEGER NOT NULL,
        end INTEGER NOT NULL,
        page INTEGER,
        language TEXT NOT NULL,
        heading_path TEXT NOT NULL,
        text TEXT NOT NULL,
        sentences BLOB NOT NULL,
        terms BLOB NOT NULL
    );
    CREATE UNIQUE INDEX chunks_of_document ON chunks (document_id, position);

    CREATE VIEW records AS
        SELECT id, base_id, path, title, media_type, size_bytes, sha256, label, status, reason,
            language, pages, chunks, added_at
        FROM documents;
    CREATE VIEW passages AS
        SELECT c.id AS chunk_id, c.document_id, c.position, d.base_id, d.title, d.label,
            c.heading_path, c.text, c.start, c.end, c.page, c.language
        FROM chunks c JOIN documents d ON d.id = c.document_id;

    CREATE TABLE postings (
        segment_id INTEGER NOT NULL REFERENCES segments (id),
        term TEXT NOT NULL,
        entries BLOB NOT NULL,
        PRIMARY KEY (segment_id, term)
    ) WITHOUT ROWID;

    CREATE TABLE embedders (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        dimensions INTEGER NOT NULL
    );

    CREATE TABLE vectors (
        chunk_id INTEGER NOT NULL REFERENCES chunks (id),
        embedder_id INTEGER NOT NULL REFERENCES embedders (id),
        vector BLOB NOT NULL,
        PRIMARY KEY (chunk_id, embedder_id)
    ) WITHOUT ROWID;

    CREATE TABLE sentence_vectors (
        chunk_id INTEGER NOT NULL REFERENCES chunks (id),
        embedder_id INTEGER NOT NULL REFERENCES embedders (id),
        vectors BLOB NOT NULL,
        PRIMARY KEY (chunk_id, embedder_id)
    );

    CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        base_id TEXT NOT NULL REFERENCES bases (id),
        path TEXT NOT NULL,
        file TEXT NOT NULL,
        label TEXT NOT NULL,
        principal TEXT NOT NULL,
        state TEXT NOT NULL,
        stage TEXT NOT NULL,
        reason TEXT NOT NULL,
        document_id TEXT NOT NULL,
        tries INTEGER NOT NULL,
        created_at TEXT NOT NULL,
        seconds REAL NOT NULL
    );
    CREATE INDEX jobs_of_base ON jobs (base_id);
    CREATE INDEX jobs_waiting ON jobs (state, created_at);

    CREATE TABLE traces (
        id TEXT PRIMARY KEY,
        base_id TEXT NOT NULL REFERENCES bases (id),
        principal TEXT NOT NULL,
        labels TEXT NOT NULL,
        record BLOB NOT NULL
    );
    CREATE TABLE turns (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation_id TEXT NOT NULL,
        base_id TEXT NOT NULL REFERENCES bases (id),
        principal TEXT NOT NULL,
        record BLOB NOT NULL
    );
    CREATE INDEX turns_of_conversation ON turns (conversation_id);

    -- Which documents a trace or a turn quotes: it goes when one of them goes.
    CREATE TABLE quotes (
        document_id TEXT NOT NULL REFERENCES documents (id),
        kind TEXT NOT NULL,
        entry_id TEXT NOT NULL,
        PRIMARY KEY (document_id, kind, entry_id)
    ) WITHOUT ROWID;
    CREATE INDEX quotes_of_entry ON quotes (kind, entry_id);
    """,
)


def version(connection: sqlite3.Connection) -> int:
    """How many migrations the store has seen."""
    number: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return number


def refuse_newer(connection: sqlite3.Connection) -> None:
    """Raise ``SchemaMismatch`` for a store that a later Banyan has written."""
    found = version(connection)
    if found > len(MIGRATIONS):
        raise SchemaMismatch(
            f"The knowledge store has schema version {found}; this Banyan knows "
            f"{len(MIGRATIONS)} at most.",
            remedy="Use the newer Banyan that wrote it, or export there and import here.",
        )


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the store to the newest version, inside the caller's write transaction."""
    refuse_newer(connection)
    for number in range(version(connection), len(MIGRATIONS)):
        for statement in _statements(MIGRATIONS[number]):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number + 1}")


def _statements(script: str) -> list[str]:
    """``executescript`` would commit first; one statement at a time stays in the transaction."""
    statements, pending = [], ""
    for line in script.splitlines():
        pending += line + "\n"
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements
