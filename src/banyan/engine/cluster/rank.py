"""The process of one rank: ``python -m banyan.engine.cluster.rank FD``, started by
``rank_process.py``.

It is told its seat and its checkpoint over the socket FD, says there how far it is, and ends when
the other side closes it or the group is over.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from banyan.core.errors import BanyanError, HostUnreachable, PeerLost
from banyan.core.layout import from_json, to_json
from banyan.engine.child import SPIN_COUNT
from banyan.engine.cluster.frames import MAX_MESSAGE
from banyan.engine.formation import Seat
from banyan.engine.pulse import Pulse
from banyan.engine.wire import BEAT_S, Channel, Json

TakePart = Callable[[Seat, Path, Callable[[str], None], Pulse], None]

_PR_SET_PDEATHSIG: Final = 1
"""linux/prctl.h"""


def main() -> None:
    """Take the seat that is told over the descriptor of the first argument."""
    os.putenv("GOMP_SPINCOUNT", SPIN_COUNT)
    serve(int(sys.argv[1]), _take_part)


def serve(descriptor: int, take_part: TakePart) -> None:
    """Be a rank that does as ``take_part``; the process ends with it, and with its supervisor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor, which then ends us
    _die_with_parent()
    channel, pulse = Channel(socket.socket(fileno=descriptor)), Pulse()
    frames = iter(channel)
    told = next(frames, None)
    if told is None:
        os._exit(1)
    threading.Thread(target=_beat, args=(channel, pulse), daemon=True).start()
    threading.Thread(target=_end_with, args=(frames,), daemon=True).start()
    try:
        seat, path = from_json(Seat, told["seat"]), Path(told["path"])
        take_part(seat, path, lambda state: channel.send({"state": state}), pulse)
    except Exception as error:  # the border of the process: every failure is told
        channel.send(_failure(error))
        os._exit(1)
    channel.send({"state": "ended", "message": "Its group was ended.", "symptom": True})
    os._exit(0)


def _take_part(seat: Seat, path: Path, report: Callable[[str], None], pulse: Pulse) -> None:
    """Answer calls as rank 0, or follow it."""
    from banyan.engine.answering import Answering  # loads torch, which reads GOMP_SPINCOUNT
    from banyan.engine.seat import follow

    if seat.calls_fd is None:
        follow(seat, path, report, pulse)
    else:
        Answering(Channel(socket.socket(fileno=seat.calls_fd))).lead(seat, path, report, pulse)


def _failure(error: Exception) -> Json:
    """The last frame of a rank. That it lost another rank does not say why that one has gone."""
    symptom = isinstance(error, (PeerLost, HostUnreachable))
    if isinstance(error, MemoryError) or "not enough memory" in str(error):
        message = "It ran out of memory: it was given more than this host can hold."
    elif isinstance(error, BanyanError):
        message = f"{error} {error.remedy}".strip()
    else:
        message = f"{type(error).__name__}: {error}"
    return {"state": "failed", "message": message[:MAX_MESSAGE], "symptom": symptom}


def _beat(channel: Channel, pulse: Pulse) -> None:
    while True:
        try:
            channel.send({"beat": to_json(pulse.progress)})
        except OSError:
            os._exit(0)
        time.sleep(BEAT_S)


def _end_with(frames: Iterable[Json]) -> None:
    """The supervisor says nothing more; when its end closes, so do we."""
    for _ in frames:
        continue
    os._exit(0)


def _die_with_parent() -> None:
    """Be killed with the supervisor's thread, even while stopped (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
