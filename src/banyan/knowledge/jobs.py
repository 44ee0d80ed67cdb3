"""Jobs as rows: files that wait for the ingest worker, and what became of them.

A job that is taken counts a try before the work begins, so one that kills its worker is not taken
for ever: after ``MAX_TRIES`` it has failed, and from the second try on it is taken alone.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from banyan.core.context import Principal
from banyan.core.errors import Overloaded
from banyan.knowledge.records import Job

MAX_TRIES = 3
MAX_WAITING = 10_000
"""Most jobs that may wait in one store."""

JOBS_KEPT = 1_000
"""Ended jobs kept for a base's list; the oldest go first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A job as its worker sees it: the file on disk, and in whose name it is added."""

    id: str
    base_id: str
    path: str
    file: Path
    label: str
    principal: Principal
    tries: int


def add(
    db: sqlite3.Connection, base_id: str, path: str, file: Path, label: str, principal: Principal
) -> Job:
    """Enter a waiting job; ``Overloaded`` when ``MAX_WAITING`` wait already."""
    waiting = db.execute("SELECT COUNT(*) FROM jobs WHERE state = 'waiting'").fetchone()[0]
    if waiting >= MAX_WAITING:
        raise Overloaded(
            f"{waiting} files wait already, the limit MAX_WAITING = {MAX_WAITING}.",
            remedy="Wait until some are done, then add the rest.",
        )
    job = Job(
        id=uuid.uuid4().hex,
        base_id=base_id,
        path=path,
        state="waiting",
        stage="",
        reason="",
        document_id="",
        created_at=datetime.now(UTC).isoformat(timespec="microseconds"),
        seconds=0.0,
    )
    db.execute(
        "INSERT INTO jobs (id, base_id, path, file, label, principal, state, stage, reason,"
        " document_id, tries, created_at, seconds)"
        " VALUES (?, ?, ?, ?, ?, ?, 'waiting', '', '', '', 0, ?, 0)",
        (job.id, base_id, path, str(file), label, _pack(principal), job.created_at),
    )
    _prune(db, base_id)
    return job


def _prune(db: sqlite3.Connection, base_id: str) -> None:
    db.execute(
        "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs"
        " WHERE base_id = ? AND state IN ('done', 'failed')"
        " ORDER BY created_at DESC LIMIT -1 OFFSET ?)",
        (base_id, JOBS_KEPT),
    )


def listed(db: sqlite3.Connection, base_id: str, principal: Principal) -> list[Job]:
    """The jobs of a base whose label ``principal`` may see, newest first."""
    found = db.execute(
        "SELECT label, id, base_id, path, state, stage, reason, document_id, created_at, seconds"
        " FROM jobs WHERE base_id = ? ORDER BY created_at DESC, rowid DESC",
        (base_id,),
    )
    return [_job(row[1:]) for row in found if principal.may_see(row[0])]


def _job(row: Sequence[Any]) -> Job:
    names = ("id", "base_id", "path", "state", "stage", "reason", "document_id", "created_at")
    return Job(**dict(zip((*names, "seconds"), row, strict=True)))


def recover(db: sqlite3.Connection) -> list[Path]:
    """What a dead worker left half done waits again, or has failed after its last try.

    Returns the files of the failed ones, which nobody will read any more.
    """
    found = db.execute(
        "SELECT file FROM jobs WHERE state = 'working' AND tries >= ?", (MAX_TRIES,)
    ).fetchall()
    db.execute(
        "UPDATE jobs SET state = 'failed', stage = '', reason = ?"
        " WHERE state = 'working' AND tries >= ?",
        (f"The ingest process ended {MAX_TRIES} times while it worked on this file.", MAX_TRIES),
    )
    db.execute("UPDATE jobs SET state = 'waiting', stage = '' WHERE state = 'working'")
    return [Path(file) for (file,) in found]


def take(db: sqlite3.Connection, limit: int) -> list[Task]:
    """Take the oldest waiting job, and with it the next of the same base, label and owner.

    Of two files with one path the later waits, and a job tried before is taken alone.
    """
    found = db.execute(
        "SELECT id, base_id, path, file, label, principal, tries FROM jobs"
        " WHERE state = 'waiting' ORDER BY created_at, rowid LIMIT ?",
        (limit,),
    ).fetchall()
    taken: dict[str, Task] = {}
    for row in found:
        task = _task(row)
        if taken and not _belongs(task, next(iter(taken.values()))):
            break
        if task.path in taken:
            break
        taken[task.path] = task
        if task.tries:
            break
    for task in taken.values():
        db.execute("UPDATE jobs SET state = 'working', tries = tries + 1 WHERE id = ?", (task.id,))
    return list(taken.values())


def _belongs(task: Task, first: Task) -> bool:
    same = (task.base_id, task.label, task.principal) == (
        *(first.base_id, first.label, first.principal),
    )
    return same and not task.tries


def _task(row: Sequence[str]) -> Task:
    job_id, base_id, path, file, label, principal, tries = row
    return Task(
        id=job_id,
        base_id=base_id,
        path=path,
        file=Path(file),
        label=label,
        principal=_unpack(principal),
        tries=int(tries),
    )


def set_stage(db: sqlite3.Connection, job_ids: Sequence[str], stage: str) -> None:
    db.executemany(
        "UPDATE jobs SET stage = ? WHERE id = ? AND state = 'working'",
        [(stage, job_id) for job_id in job_ids],
    )


def done(db: sqlite3.Connection, job_id: str, document_id: str, seconds: float) -> None:
    db.execute(
        "UPDATE jobs SET state = 'done', stage = '', document_id = ?, seconds = ? WHERE id = ?",
        (document_id, seconds, job_id),
    )


def failed(db: sqlite3.Connection, job_id: str, reason: str, document_id: str = "") -> None:
    db.execute(
        "UPDATE jobs SET state = 'failed', stage = '', reason = ?, document_id = ? WHERE id = ?",
        (reason, document_id, job_id),
    )


def release(db: sqlite3.Connection, job_id: str, *, uncounted: bool) -> None:
    """Let a taken job wait again; ``uncounted`` where it was not the job's fault."""
    db.execute(
        "UPDATE jobs SET state = 'waiting', stage = '', tries = tries - ? WHERE id = ?",
        (int(uncounted), job_id),
    )


def files(db: sqlite3.Connection, base_id: str) -> list[Path]:
    """The files of a base's jobs that have not ended."""
    found = db.execute(
        "SELECT file FROM jobs WHERE base_id = ? AND state IN ('waiting', 'working')", (base_id,)
    )
    return [Path(file) for (file,) in found]


def _pack(principal: Principal) -> str:
    labels = None if principal.labels is None else sorted(principal.labels)
    return json.dumps([principal.name, labels])


def _unpack(text: str) -> Principal:
    name, labels = json.loads(text)
    return Principal(name=name, labels=None if labels is None else frozenset(labels))
