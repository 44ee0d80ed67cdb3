"""A lock between processes, held by the kernel so that a killed holder never keeps it."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from banyan.core.context import Context

POLL_S = 0.05


@contextmanager
def exclusive(path: Path, context: Context) -> Iterator[None]:
    """Hold ``path`` (created when missing) alone, waiting for others as long as asked to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                context.check()
                time.sleep(POLL_S)
        yield
