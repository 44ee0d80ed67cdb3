from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.knowledge.factory import BASE, create_base

from banyan.core.context import PUBLIC, Context, Principal
from banyan.core.errors import Overloaded
from banyan.knowledge import jobs
from banyan.knowledge.store import Store

ALICE = Principal(name="alice", labels=frozenset({PUBLIC, "hr"}))
BOB = Principal(name="bob", labels=frozenset({PUBLIC}))


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    store = Store(tmp_path)
    create_base(store)
    with store.write(Context()) as connection:
        yield connection
    store.close()


def _add(
    db: sqlite3.Connection, path: str, label: str = PUBLIC, principal: Principal = ALICE
) -> str:
    return jobs.add(db, BASE, path, Path("/inbox") / path, label, principal).id


def _states(db: sqlite3.Connection) -> dict[str, str]:
    return {job.path: job.state for job in jobs.listed(db, BASE, Principal())}


def test_jobs_are_taken_in_order_and_together_where_they_belong_together(
    db: sqlite3.Connection,
) -> None:
    for path in ("a", "b"):
        _add(db, path)
    _add(db, "c", label="hr")
    _add(db, "d", principal=BOB)
    taken = [[task.path for task in jobs.take(db, 16)] for _ in range(4)]
    assert taken == [["a", "b"], ["c"], ["d"], []]
    assert set(_states(db).values()) == {"working"}


def test_a_task_knows_in_whose_name_it_works(db: sqlite3.Connection) -> None:
    _add(db, "a", principal=BOB)
    (task,) = jobs.take(db, 16)
    assert task.principal == BOB
    assert task.file == Path("/inbox/a")


def test_of_two_files_with_one_path_the_later_waits(db: sqlite3.Connection) -> None:
    first, second = _add(db, "a"), _add(db, "a")
    assert [task.id for task in jobs.take(db, 16)] == [first]
    assert [task.id for task in jobs.take(db, 16)] == [second]


def test_what_a_dead_worker_left_is_taken_again_alone_and_fails_at_the_third_time(
    db: sqlite3.Connection,
) -> None:
    for path in ("a", "b"):
        _add(db, path)
    tried, given_up = [], []
    for _ in range(7):
        tried.append([task.path for task in jobs.take(db, 16)])
        given_up += jobs.recover(db)
    assert tried == [["a", "b"], ["a"], ["a"], ["b"], ["b"], [], []]
    assert len(given_up) == 2  # their files, which the worker then removes
    (job, _) = jobs.listed(db, BASE, Principal())
    assert job.state == "failed"
    assert "3 times" in job.reason


def test_a_job_that_was_interrupted_by_a_stop_keeps_its_tries(db: sqlite3.Connection) -> None:
    job = _add(db, "a")
    for _ in range(5):
        assert jobs.take(db, 16)
        jobs.release(db, job, uncounted=True)
    jobs.recover(db)
    assert _states(db) == {"a": "waiting"}


def test_jobs_end_with_a_document_or_a_reason(db: sqlite3.Connection) -> None:
    done, failed = _add(db, "a"), _add(db, "b")
    jobs.take(db, 16)
    jobs.set_stage(db, [done], "reading")
    assert {job.stage for job in jobs.listed(db, BASE, Principal())} == {"reading", ""}
    jobs.done(db, done, "d" * 24, 1.5)
    jobs.failed(db, failed, "It is empty.")
    newest, oldest = jobs.listed(db, BASE, Principal())
    assert (oldest.state, oldest.document_id, oldest.seconds) == ("done", "d" * 24, 1.5)
    assert (newest.state, newest.reason, newest.stage) == ("failed", "It is empty.", "")


def test_jobs_of_a_hidden_label_are_not_listed(db: sqlite3.Connection) -> None:
    _add(db, "a", label="hr")
    _add(db, "b")
    assert [job.path for job in jobs.listed(db, BASE, BOB)] == ["b"]


def test_too_many_waiting_jobs_are_refused(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "MAX_WAITING", 2)
    _add(db, "a")
    _add(db, "b")
    with pytest.raises(Overloaded, match="MAX_WAITING = 2"):
        _add(db, "c")


def test_old_ended_jobs_are_dropped_and_waiting_ones_never(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "JOBS_KEPT", 2)
    ended = [_add(db, f"e{n}") for n in range(4)]
    jobs.take(db, 16)
    for job in ended:
        jobs.done(db, job, "", 0.0)
    for n in range(3):
        _add(db, f"w{n}")
    assert set(_states(db)) == {"e2", "e3", "w0", "w1", "w2"}
