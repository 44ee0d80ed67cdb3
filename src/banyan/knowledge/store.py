"""The store: one SQLite file in a folder, many readers, one writer at a time.

Everything of a base lies in it (documents, chunks, postings, vectors, jobs, traces), so that one
transaction makes a document visible whole or not at all: SQLite's write-ahead log is the journal
that survives ``kill -9``. What the tables hold is said in ``schema``; the modules that read and
write them take a connection from ``read`` or ``write``.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from banyan.core.context import Context
from banyan.core.errors import Conflict, StoreError
from banyan.knowledge import schema

FILE_NAME = "knowledge.sqlite3"
WRITE_WAIT_S = 60.0
"""How long a writer waits for another process's transaction before it gives up."""

_POLL_S = 0.02
_SCRUB_WAIT_MS = 200
_IDLE_READERS = 8
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # what is deleted is overwritten, not merely unlinked
    "PRAGMA journal_size_limit = 16000000",
    "PRAGMA cache_size = -16000",
    "PRAGMA temp_store = MEMORY",
)


class Store:
    """Connections to the file, and the two kinds of transaction."""

    def __init__(self, folder: Path) -> None:
        """Open or create the store; raises ``SchemaMismatch`` or ``StoreError``."""
        self.path = folder / FILE_NAME
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise _unusable(self.path, error) from error
        with self.write(Context()) as db:
            schema.migrate(db)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One moment of the store: all that is read inside belongs together."""
        connection = self._take()
        try:
            connection.execute("BEGIN")
            yield connection
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from error
        finally:
            self._put_back(connection)

    @contextmanager
    def write(self, context: Context) -> Iterator[sqlite3.Connection]:
        """A transaction that commits at the end of the block and rolls back on any error.

        Waits for another writer up to ``WRITE_WAIT_S`` while ``context`` still cares; then raises
        ``Conflict``.
        """
        connection = self._take()
        try:
            _begin_writing(connection, context)
            yield connection
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from error
        finally:
            self._put_back(connection)

    def scrub(self) -> None:
        """Empty the write-ahead log, where old pages would keep deleted text for a while.

        With readers at work it does what it can; the last process to close does the rest.
        """
        connection = self._take()
        try:
            connection.execute(f"PRAGMA busy_timeout = {_SCRUB_WAIT_MS}")
            with suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            connection.execute(f"PRAGMA busy_timeout = {int(WRITE_WAIT_S * 1000)}")
        finally:
            self._put_back(connection)

    def close(self) -> None:
        """Close the idle connections; those in use close as they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._closed:
                raise StoreError("The knowledge store is closed.")
            if self._idle:
                return self._idle.pop()
        try:
            return self._open()
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from error

    def _put_back(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        with self._lock:
            if not self._closed and len(self._idle) < _IDLE_READERS:
                self._idle.append(connection)
                return
        connection.close()

    def _open(self) -> sqlite3.Connection:
        # A generator of events may be resumed by another thread, one at a time.
        connection = sqlite3.connect(
            self.path, timeout=WRITE_WAIT_S, isolation_level=None, check_same_thread=False
        )
        try:
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            schema.refuse_newer(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _begin_writing(connection: sqlite3.Connection, context: Context) -> None:
    """Poll for the write lock, so that a waiting writer can still be cancelled."""
    connection.execute("PRAGMA busy_timeout = 0")
    give_up = time.monotonic() + WRITE_WAIT_S
    try:
        while True:
            context.check()
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
            if time.monotonic() > give_up:
                raise Conflict(
                    f"Another process has been writing to the store for {WRITE_WAIT_S:.0f} s.",
                    remedy="Wait until it has ended, then try again.",
                )
            time.sleep(_POLL_S)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(WRITE_WAIT_S * 1000)}")


def _unusable(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"The knowledge store {path} cannot be used: {error}.",
        remedy="Check that its folder can be written and that the disk is not full.",
    )
