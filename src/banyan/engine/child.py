"""The engine's own process: ``python -m banyan.engine.child FD``, started by ``link.py``.

It serves the socket FD and ends when the other side closes it or dies.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

from banyan.engine.wire import Channel

SPIN_COUNT = "1000"
"""How often an idle computing thread looks for work before it sleeps.

The default of libgomp, 300,000, makes threads that share their cores with other processes wait
for each other: beside a busy ingest worker a decoding step took 200 ms instead of 15.
"""


def main() -> None:
    """Serve the socket whose descriptor is the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes
    os.putenv("GOMP_SPINCOUNT", SPIN_COUNT)
    from banyan.engine.answering import Answering  # loads torch, which reads the line above

    Answering(Channel(socket.socket(fileno=int(sys.argv[1])))).serve()
    os._exit(0)  # at once, whatever step is under way


if __name__ == "__main__":
    main()
