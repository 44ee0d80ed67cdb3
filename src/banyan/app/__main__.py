"""The ingest worker's process: makes the sample, then works the queue until its parent goes."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress

from banyan.app.app import App
from banyan.core.context import Context
from banyan.core.errors import Cancelled
from banyan.core.settings import Settings


def work() -> None:
    """Return once standard input has closed."""
    app = App(Settings.from_environment())
    stop = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.buffer.read()
        stop.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    try:
        with suppress(Cancelled):  # told to end while it makes the sample; the next one does it
            app.library.ensure_sample(Context(cancel=stop))
        app.library.work(stop)
    finally:
        app.close()


if __name__ == "__main__":
    work()
