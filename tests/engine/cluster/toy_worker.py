"""A host of toy ranks as a process of its own: ``toy_worker.py PORT NAME FOLDER RANKS``."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.engine.cluster.toys import TOKEN, TOY_RANK, absent

from banyan.core.context import Context
from banyan.engine.cluster import rank_process
from banyan.engine.cluster.slice_cache import SliceCache
from banyan.engine.cluster.worker import WorkerSettings, join


def main() -> None:
    port, name, folder, ranks = sys.argv[1:]
    rank_process.COMMAND = (sys.executable, str(TOY_RANK))  # type: ignore[misc]  # toys
    settings = WorkerSettings(
        address="127.0.0.1",
        port=int(port),
        token=TOKEN,
        name=name,
        ranks=int(ranks),
        device="cpu",
        slices=SliceCache(Path(folder), 1 << 30),
        find=absent,
    )
    join(settings, Context(), lambda event: None)


if __name__ == "__main__":
    main()
