from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import pytest

from banyan.core.context import Context
from banyan.core.errors import Cancelled, Conflict, SchemaMismatch, StoreError
from banyan.knowledge import schema, store
from banyan.knowledge.store import FILE_NAME, Store


def _count(opened: Store) -> int:
    with opened.read() as db:
        number: int = db.execute("SELECT COUNT(*) FROM facts").fetchone()[0]
        return number


def _add(db: sqlite3.Connection, name: str) -> None:
    db.execute("INSERT INTO facts (name, value) VALUES (?, '')", (name,))


def test_what_is_written_is_there_when_opened_again(tmp_path: Path) -> None:
    first = Store(tmp_path)
    with first.write(Context()) as db:
        _add(db, "one")
    first.close()
    assert _count(Store(tmp_path)) == 1


def test_an_error_inside_a_write_undoes_all_of_it(tmp_path: Path) -> None:
    opened = Store(tmp_path)
    with pytest.raises(KeyError), opened.write(Context()) as db:
        _add(db, "one")
        raise KeyError
    assert _count(opened) == 0


def test_a_store_of_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
    db.close()
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(SchemaMismatch, match="schema version 2"):
        Store(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_migration_that_fails_leaves_the_old_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(tmp_path).close()
    broken = "CREATE TABLE extra (id INTEGER);\nCREATE TABLE facts (id INTEGER);\n"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
    with pytest.raises(StoreError):
        Store(tmp_path)
    monkeypatch.undo()
    opened = Store(tmp_path)
    with opened.read() as db:
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
    assert "extra" not in tables


def test_a_file_that_is_no_store_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"something else entirely" * 100)
    with pytest.raises(StoreError, match="cannot be used"):
        Store(tmp_path)


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        Store(tmp_path / "file" / "folder")


def test_a_reader_sees_one_moment_and_blocks_no_writer(tmp_path: Path) -> None:
    opened = Store(tmp_path)
    with opened.read() as db:
        assert db.execute("SELECT COUNT(*) FROM facts").fetchone() == (0,)
        with opened.write(Context()) as other:
            _add(other, "one")
        assert db.execute("SELECT COUNT(*) FROM facts").fetchone() == (0,)
    assert _count(opened) == 1


def test_another_process_sees_a_commit_at_once(tmp_path: Path) -> None:
    mine, theirs = Store(tmp_path), Store(tmp_path)
    assert _count(theirs) == 0
    with mine.write(Context()) as db:
        _add(db, "one")
    assert _count(theirs) == 1


def test_a_writer_waits_for_the_one_before(tmp_path: Path) -> None:
    mine, theirs = Store(tmp_path), Store(tmp_path)
    begun = threading.Event()

    def slow() -> None:
        with theirs.write(Context()) as db:
            begun.set()
            time.sleep(0.2)
            _add(db, "slow")

    thread = threading.Thread(target=slow)
    thread.start()
    begun.wait()
    with mine.write(Context()) as db:
        assert db.execute("SELECT COUNT(*) FROM facts").fetchone() == (1,)
    thread.join()


def test_a_writer_that_waits_too_long_says_who_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = Store(tmp_path), Store(tmp_path)
    monkeypatch.setattr(store, "WRITE_WAIT_S", 0.1)
    with theirs.write(Context()), pytest.raises(Conflict, match="writing"), mine.write(Context()):
        pass


def test_a_waiting_writer_can_be_cancelled(tmp_path: Path) -> None:
    mine, theirs = Store(tmp_path), Store(tmp_path)
    context = Context()
    with theirs.write(Context()):
        threading.Timer(0.1, context.cancel.set).start()
        with pytest.raises(Cancelled), mine.write(context):
            pass


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    opened = Store(tmp_path)
    opened.close()
    with pytest.raises(StoreError, match="closed"), opened.read():
        pass


def test_scrubbing_takes_deleted_text_off_the_disk(tmp_path: Path) -> None:
    opened = Store(tmp_path)
    with opened.write(Context()) as db:
        _add(db, "quetzalcoatlus" * 50)
    with opened.write(Context()) as db:
        db.execute("DELETE FROM facts")
    opened.scrub()
    assert all(b"quetzalcoatlus" not in file.read_bytes() for file in tmp_path.iterdir())
    opened.close()
