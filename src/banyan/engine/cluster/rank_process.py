"""RankProcess: one rank's process, from its start to its end, with the reason for its end.

It is started and watched by one thread, which lives until the process has ended: the kernel ends
the process with the thread that started it, so that nothing is left when a supervisor is killed.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil

from banyan.core.errors import BanyanError
from banyan.core.layout import from_json, to_json
from banyan.engine.cluster.frames import MAX_MESSAGE, RankState, RankVitals
from banyan.engine.formation import Seat
from banyan.engine.pulse import Progress
from banyan.engine.wire import BEAT_S, Channel, Json

SILENCE_S: Final = 3.0
"""After this long without a word a running rank counts as stuck."""
LOADING_SILENCE_S: Final = 60.0
"""The same while it loads: a library read from a slow disk holds the interpreter up."""
COMMAND: Final = (sys.executable, "-P", "-m", "banyan.engine.cluster.rank")
"""What a rank's process runs. -P: nothing of the user's folder is imported."""
TAIL_BYTES: Final = 2000
"""How much of what a rank wrote to its standard error is kept for the reason of its end."""

OnChange = Callable[[RankState], None]


class RankProcess:
    """``on_change`` is told each new state, from threads of the process."""

    def __init__(self, seat: Seat, path: Path, on_change: OnChange) -> None:
        """Start the process, which loads the checkpoint or slice at ``path``."""
        self.rank = seat.rank
        self.progress = Progress()
        self._on_change = on_change
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        self._heard = time.monotonic()
        self._tail = b""
        spawned = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(seat, path, spawned), name=f"rank {seat.rank}", daemon=True
        )
        self._thread.start()
        spawned.wait()

    @property
    def vitals(self) -> RankVitals:
        rss = 0
        try:
            if self._process is not None:
                rss = int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            pass  # it has just ended
        return RankVitals(rank=self.rank, rss_bytes=rss, progress=self.progress)

    def kill(self) -> None:
        """End it; ``join`` waits for that."""
        if self._process is not None:
            self._process.kill()

    def join(self) -> None:
        """Wait until it has ended and everything it said has been told."""
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self, seat: Seat, path: Path, spawned: threading.Event) -> None:
        ours, theirs = socket.socketpair()
        channel = Channel(ours)
        try:
            with theirs:
                process = self._process = _spawn(theirs.fileno(), seat)
        except OSError as error:
            channel.close()
            spawned.set()  # before anybody is told, who may want to close all ranks
            self._say("failed", f"Its process could not be started: {error.strerror}.")
            return
        spawned.set()
        reader = threading.Thread(target=self._read_errors, args=(process,), daemon=True)
        reader.start()
        threading.Thread(target=self._watch_silence, args=(process,), daemon=True).start()
        self._say("starting")
        told = self._listen(channel, seat, path)
        status = process.wait()
        channel.close()
        reader.join(SILENCE_S)  # its children, if any, may still hold the pipe
        if not told:
            self._say("ended", why_ended(status, self._tail))

    def _listen(self, channel: Channel, seat: Seat, path: Path) -> bool:
        """Hear it out to its end; whether it gave a reason itself."""
        try:
            channel.send({"seat": to_json(seat), "path": str(path)})
            told = False
            for frame in channel:
                self._heard = time.monotonic()
                told = self._take(frame) or told
            return told
        except OSError:
            return False  # it ended before it was told what to do
        except (BanyanError, ValueError) as error:
            self.kill()
            self._say("failed", f"It said what cannot be understood: {error}")
            return True

    def _take(self, frame: Json) -> bool:
        if "beat" in frame:
            self.progress = from_json(Progress, frame["beat"])
            return False
        state = from_json(RankState, {**frame, "rank": self.rank, "pid": self._pid})
        self._is_ready = state.state == "ready"
        self._on_change(state)
        return state.is_over

    def _watch_silence(self, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None:
            time.sleep(BEAT_S)
            silence = time.monotonic() - self._heard
            allowed = SILENCE_S if self._is_ready else LOADING_SILENCE_S
            if silence > allowed and process.poll() is None:
                self._say(
                    "failed", f"It has not answered for {silence:.1f} s: it is stopped or stuck."
                )
                return

    def _read_errors(self, process: subprocess.Popen[bytes]) -> None:
        """Pass on what it writes to its standard error, and keep the end of it."""
        if process.stderr is None:
            return
        with process.stderr as pipe:
            while data := os.read(pipe.fileno(), 1 << 16):
                self._tail = (self._tail + data)[-TAIL_BYTES:]
                sys.stderr.write(data.decode("utf-8", "replace"))

    @property
    def _pid(self) -> int:
        return 0 if self._process is None else self._process.pid

    def _say(self, state: str, message: str = "") -> None:
        self._on_change(
            RankState(rank=self.rank, state=state, message=message[:MAX_MESSAGE], pid=self._pid)
        )


def _spawn(descriptor: int, seat: Seat) -> subprocess.Popen[bytes]:
    calls = () if seat.calls_fd is None else (seat.calls_fd,)
    return subprocess.Popen(
        [*COMMAND, str(descriptor)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=(descriptor, seat.listener_fd, *seat.memory_fds, *calls),
    )


def why_ended(status: int, tail: bytes = b"") -> str:
    """Why a process that told nothing has ended."""
    lines = tail.decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    said = f" Its last words: {last[:200]}" if last else ""
    if status == 0:
        return "Its process ended before its time."
    if status > 0:
        return f"Its process ended with exit status {status}.{said}"
    if -status == signal.SIGKILL:
        return "Its process was killed by SIGKILL: most likely the host ran out of memory."
    known = {number.value: number.name for number in signal.Signals}
    return f"Its process was killed by {known.get(-status, f'signal {-status}')}.{said}"
