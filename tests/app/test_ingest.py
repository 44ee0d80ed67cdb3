"""The ingest worker from outside: it ends with its parent, and imports nothing of the user's."""

from __future__ import annotations

import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from banyan.app.ingest import IngestWorker
from banyan.core.settings import Settings


def test_a_worker_that_is_being_started_again_ends_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = IngestWorker(replace(Settings(), home=tmp_path))
    worker._process.kill()
    worker._process.wait()
    start, starting = worker._start, threading.Event()

    def slow() -> subprocess.Popen[bytes]:
        starting.set()
        time.sleep(0.3)
        return start()

    monkeypatch.setattr(worker, "_start", slow)
    again = threading.Thread(target=worker.ensure_running)
    again.start()
    starting.wait(5)
    worker.close()
    again.join()
    assert worker._process.poll() is not None


def test_the_ingest_worker_imports_nothing_from_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queue.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    worker = IngestWorker(replace(Settings(), home=tmp_path / "home"))
    store = tmp_path / "home" / "knowledge" / "knowledge.sqlite3"
    patience = time.monotonic() + 30
    while not store.exists() and worker._process.poll() is None and time.monotonic() < patience:
        time.sleep(0.05)
    worker.close()
    assert store.exists()
