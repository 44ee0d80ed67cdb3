from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.knowledge.factory import BASE, HASH, library, reader

from banyan.core.context import PUBLIC, Context
from banyan.core.errors import AccessError, ModelError, UnknownBase
from banyan.core.events import Progress
from banyan.core.fakes import HashEmbedder
from banyan.knowledge import worker
from banyan.knowledge.embed import Embedders
from banyan.knowledge.library import Library
from banyan.knowledge.parse.limits import ParseLimits
from banyan.knowledge.parse.parse import Parser
from banyan.knowledge.records import Job

PATIENCE_S = 30.0
_DYING = """
import os, sys, threading
from pathlib import Path
from tests.knowledge.factory import HASH, ParseLimits, Embedders, Library
class Dying(type(HASH)):
    def embed(self, texts, context):
        os.kill(os.getpid(), 9)
Library(Path(sys.argv[1]), embedders=Embedders(multilingual=Dying()), limits=ParseLimits()).work(
    threading.Event()
)
"""


@pytest.fixture
def shelf(tmp_path: Path) -> Library:
    made = library(tmp_path / "library")
    made.create_base(BASE, "Base", Context())
    return made


def _upload(shelf: Library, tmp_path: Path, name: str, text: str) -> Path:
    folder = tmp_path / "inbox" / name.replace("/", "_")
    folder.mkdir(parents=True)
    file = folder / name.rpartition("/")[2]
    file.write_text(text)
    shelf.enqueue(file, BASE, Context(), name=name)
    return file


@contextmanager
def _working(shelf: Library) -> Iterator[threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=shelf.work, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


def _ended(shelf: Library) -> dict[str, Job]:
    """The jobs by path, once none waits or works."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        jobs = shelf.jobs(BASE, Context())
        if all(job.state in ("done", "failed") for job in jobs):
            return {job.path: job for job in jobs}
        time.sleep(0.02)
    raise TimeoutError(jobs)


def test_uploads_become_documents_and_their_files_go(shelf: Library, tmp_path: Path) -> None:
    good = _upload(shelf, tmp_path, "notes/good.md", "# Good\n\nThe banyan is a tree.")
    bad = _upload(shelf, tmp_path, "bad.txt", "")
    with _working(shelf):
        jobs = _ended(shelf)
    assert jobs["notes/good.md"].state == "done"
    assert jobs["bad.txt"].state == "failed"
    assert "empty" in jobs["bad.txt"].reason
    record, _ = shelf.document(jobs["notes/good.md"].document_id, Context())
    assert (record.path, record.title) == ("notes/good.md", "Good")
    assert not good.parent.exists()
    assert not bad.parent.exists()


def test_a_worker_takes_what_comes_while_it_works(shelf: Library, tmp_path: Path) -> None:
    with _working(shelf):
        _upload(shelf, tmp_path, "one.txt", "The first text.")
        assert _ended(shelf)["one.txt"].state == "done"
        _upload(shelf, tmp_path, "two.txt", "The second text.")
        assert _ended(shelf)["two.txt"].state == "done"


def test_the_same_name_again_replaces_the_document(shelf: Library, tmp_path: Path) -> None:
    with _working(shelf):
        _upload(shelf, tmp_path, "one.txt", "The first text.")
        _ended(shelf)
        _upload(shelf, tmp_path / "again", "one.txt", "The second text.")
        _ended(shelf)
    assert len(shelf.documents(BASE, Context())) == 1


def test_of_two_workers_one_waits_until_the_other_has_gone(shelf: Library, tmp_path: Path) -> None:
    other = library(tmp_path / "library")
    with _working(shelf) as stop, _working(other):
        _upload(shelf, tmp_path, "one.txt", "The first text.")
        _ended(shelf)
        stop.set()
        _upload(shelf, tmp_path, "two.txt", "The second text.")
        assert _ended(shelf)["two.txt"].state == "done"


def test_a_worker_that_dies_leaves_the_job_to_the_next_and_then_for_good(
    shelf: Library, tmp_path: Path
) -> None:
    _upload(shelf, tmp_path, "one.txt", "The first text.")
    command = [sys.executable, "-c", _DYING, str(tmp_path / "library")]
    for tries in range(1, 4):
        subprocess.run(command, cwd=Path(__file__).parents[2], check=False)
        (job,) = shelf.jobs(BASE, Context())
        assert job.state == "working"
        if tries == 1:  # a healthy worker would finish it: see what one finds
            assert shelf.documents(BASE, Context()) == []
    with _working(shelf):
        job = _ended(shelf)["one.txt"]
    assert job.state == "failed"
    assert "3 times" in job.reason


def test_a_job_left_by_a_dead_worker_is_done_by_a_healthy_one(
    shelf: Library, tmp_path: Path
) -> None:
    _upload(shelf, tmp_path, "one.txt", "The first text.")
    command = [sys.executable, "-c", _DYING, str(tmp_path / "library")]
    subprocess.run(command, cwd=Path(__file__).parents[2], check=False)
    with _working(shelf):
        assert _ended(shelf)["one.txt"].state == "done"


class _Broken(HashEmbedder):
    def embed(self, texts: object, context: Context) -> object:
        raise ModelError("The encoder is broken.", remedy="Mend it.")


def test_an_error_of_the_whole_system_ends_as_the_reason_of_each_job(tmp_path: Path) -> None:
    embedders = Embedders(multilingual=_Broken())
    shelf = Library(tmp_path / "library", embedders=embedders, limits=ParseLimits())
    shelf.create_base(BASE, "Base", Context())
    for name in ("one.txt", "two.txt"):
        _upload(shelf, tmp_path, name, "Some text.")
    with _working(shelf):
        jobs = _ended(shelf)
    assert {job.reason for job in jobs.values()} == {"The encoder is broken. Mend it."}


class _Slow(HashEmbedder):
    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()

    def embed(self, texts: object, context: Context) -> object:
        self.begun.set()
        while True:
            context.check()
            time.sleep(0.01)


def test_a_stopped_worker_leaves_its_job_waiting(tmp_path: Path) -> None:
    slow = _Slow()
    shelf = Library(
        tmp_path / "library", embedders=Embedders(multilingual=slow), limits=ParseLimits()
    )
    shelf.create_base(BASE, "Base", Context())
    file = _upload(shelf, tmp_path, "one.txt", "Some text.")
    with _working(shelf):
        assert slow.begun.wait(PATIENCE_S)
        (job,) = shelf.jobs(BASE, Context())
        assert job.state == "working"
    (job,) = shelf.jobs(BASE, Context())
    assert (job.state, job.stage) == ("waiting", "")
    assert file.exists()
    healthy = Library(
        tmp_path / "library", embedders=Embedders(multilingual=HASH), limits=ParseLimits()
    )
    with _working(healthy):
        assert _ended(healthy)["one.txt"].state == "done"


def test_enqueueing_needs_a_base_and_a_label_of_ones_own(shelf: Library, tmp_path: Path) -> None:
    with pytest.raises(UnknownBase):
        shelf.enqueue(tmp_path / "x", "nowhere", Context(), name="x")
    with pytest.raises(AccessError):
        shelf.enqueue(tmp_path / "x", BASE, reader(PUBLIC), label="hr", name="x")


def test_removing_a_base_removes_the_files_that_wait_for_it(shelf: Library, tmp_path: Path) -> None:
    file = _upload(shelf, tmp_path, "one.txt", "Some text.")
    shelf.remove_base(BASE, Context())
    assert not file.exists()
    with pytest.raises(UnknownBase):
        shelf.jobs(BASE, Context())


def test_a_file_that_is_not_yet_read_is_not_said_to_be_embedded(
    shelf: Library, tmp_path: Path
) -> None:
    for name in ("first.md", "second.md"):
        _upload(shelf, tmp_path, name, "The banyan is a tree.")
    tasks = worker._take(shelf._store)
    with Parser(ParseLimits()) as parser:
        group = worker._Group(shelf._store, shelf._embedders, parser, ParseLimits(), tasks)
        group._note(Progress(stage="read", done=0, total=2, item="first.md"))
        group._note(Progress(stage="embed", done=3, total=9))
    stages = {job.path: job.stage for job in shelf.jobs(BASE, Context())}
    assert stages == {"first.md": "embedding 3 of 9", "second.md": ""}
