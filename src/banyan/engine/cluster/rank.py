"""The process of one rank: ``python -m banyan.engine.cluster.rank FD``, started by ``ranks.py``.

It is told its seat and its checkpoint over the socket FD, says there how far it is, and ends when
the other side closes it or the group is over.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from banyan.core.errors import BanyanError
from banyan.core.layout import from_json
from banyan.engine.child import SPIN_COUNT
from banyan.engine.cluster.ranks import BEAT_S
from banyan.engine.formation import Seat
from banyan.engine.wire import Channel


def main() -> None:
    """Take the seat that is told over the descriptor of the first argument, and follow rank 0."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor, which then ends us
    os.putenv("GOMP_SPINCOUNT", SPIN_COUNT)
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    frames = iter(channel)
    told = next(frames, None)
    if told is None:
        os._exit(1)
    seat, path = from_json(Seat, told["seat"]), Path(told["path"])
    threading.Thread(target=_beat, args=(channel,), daemon=True).start()
    threading.Thread(target=_end_with, args=(frames,), daemon=True).start()
    try:
        from banyan.engine.seat import follow  # loads torch, which reads the variable above

        follow(seat, path, lambda state: channel.send({"state": state}))
    except BanyanError as error:
        channel.send({"state": "failed", "message": str(error)})
        os._exit(1)
    except MemoryError:
        channel.send({"state": "failed", "message": "It ran out of memory."})
        os._exit(1)
    except Exception as error:  # the border of the process: every failure is told
        channel.send({"state": "failed", "message": f"{type(error).__name__}: {error}"})
        os._exit(1)
    os._exit(0)


def _beat(channel: Channel) -> None:
    while True:
        try:
            channel.send({"beat": True})
        except OSError:
            os._exit(0)
        time.sleep(BEAT_S)


def _end_with(frames: object) -> None:
    """The supervisor says nothing more; when its end closes, so do we."""
    for _ in frames:  # type: ignore[attr-defined]  # an iterator of frames
        continue
    os._exit(0)


if __name__ == "__main__":
    main()
