"""Ranks: the rank processes of one host, from their start to their end.

The host's supervisor binds a listener for each rank before anyone is told where it is, makes the
memory they share, starts them and watches them. They end when the socket to it closes.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from banyan.core.errors import BanyanError
from banyan.core.layout import to_json
from banyan.engine.comm import shared
from banyan.engine.formation import Formation, Seat
from banyan.engine.wire import Channel, Json

BEAT_S: Final = 1.0
"""How often a rank says that it lives."""
SILENCE_S: Final = 3.0
"""After this long without a word a rank counts as stuck."""

OnChange = Callable[["RankState"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankState:
    """``state``: starting, connecting, loading, measuring, ready, failed or ended; ``message`` says
    why it failed or ended."""

    rank: int
    state: str
    message: str = ""
    pid: int = 0


class LocalRanks:
    """The ranks of one formation on this host. ``on_change`` is called from their threads."""

    def __init__(self, ranks: Sequence[int], address: str, on_change: OnChange) -> None:
        self._listeners = {rank: socket.create_server((address, 0), backlog=64) for rank in ranks}
        self._memory = shared.create(len(ranks)) if len(ranks) > 1 else None
        self._on_change = on_change
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._channels: list[Channel] = []
        self._closed = False
        self._lock = threading.Lock()

    @property
    def ports(self) -> dict[int, int]:
        return {rank: int(s.getsockname()[1]) for rank, s in self._listeners.items()}

    def seat(self, formation: Formation, rank: int) -> Seat:
        """What the process of ``rank`` is given; its descriptors are to be inherited."""
        return Seat(
            formation=formation,
            rank=rank,
            listener_fd=self._listeners[rank].fileno(),
            memory_fds=() if self._memory is None else (self._memory,),
        )

    def start(self, formation: Formation, rank: int, path: Path) -> None:
        """Start the process of ``rank``, which loads the checkpoint or slice at ``path``."""
        seat = self.seat(formation, rank)
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            if self._closed:
                ours.close()
                return
            process = subprocess.Popen(  # -P: nothing of the user's folder is imported
                [sys.executable, "-P", "-m", "banyan.engine.cluster.rank", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), seat.listener_fd, *seat.memory_fds),
            )
            self._processes[rank] = process
        channel = Channel(ours)
        self._channels.append(channel)
        self._listeners[rank].close()
        channel.send({"seat": to_json(seat), "path": str(path)})
        threading.Thread(target=self._watch, args=(rank, process, channel), daemon=True).start()

    def rss_bytes(self) -> dict[int, int]:
        """Memory each living rank holds."""
        found = {}
        for rank, process in list(self._processes.items()):
            try:
                found[rank] = int(psutil.Process(process.pid).memory_info().rss)
            except psutil.Error:
                continue  # it has just ended
        return found

    def close(self) -> None:
        """End every rank and wait for their ends."""
        with self._lock:
            self._closed = True
            processes = list(self._processes.values())
        for listener in self._listeners.values():
            listener.close()
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
        for channel in self._channels:
            channel.close()
        if self._memory is not None:
            os.close(self._memory)
            self._memory = None

    def _watch(self, rank: int, process: subprocess.Popen[bytes], channel: Channel) -> None:
        heard = [time.monotonic()]
        threading.Thread(
            target=self._watch_silence, args=(rank, process, heard), daemon=True
        ).start()
        told = ""
        self._change(RankState(rank=rank, state="starting", pid=process.pid))
        try:
            for frame in channel:
                heard[0] = time.monotonic()
                if "state" in frame:
                    told = str(frame.get("message", "")) or told
                    self._change(_state(rank, process.pid, frame))
        except BanyanError as error:
            told = str(error)
        message = told or _death(process.wait())
        self._change(RankState(rank=rank, state="ended", message=message, pid=process.pid))

    def _watch_silence(
        self, rank: int, process: subprocess.Popen[bytes], heard: list[float]
    ) -> None:
        while process.poll() is None:
            time.sleep(BEAT_S / 2)
            silence = time.monotonic() - heard[0]
            if silence > SILENCE_S and process.poll() is None:
                message = f"It has not answered for {silence:.1f} s: it is stopped or stuck."
                state = RankState(rank=rank, state="failed", message=message, pid=process.pid)
                self._change(state)
                return

    def _change(self, state: RankState) -> None:
        if not self._closed:
            self._on_change(state)


def _state(rank: int, pid: int, frame: Json) -> RankState:
    return RankState(
        rank=rank, state=str(frame["state"]), message=str(frame.get("message", "")), pid=pid
    )


def _death(status: int) -> str:
    """Why a process that told nothing has ended."""
    if status >= 0:
        return f"Its process ended with exit status {status}."
    name = signal.Signals(-status).name
    if name == "SIGKILL":
        return "Its process was killed by SIGKILL: most likely the host ran out of memory."
    return f"Its process was killed by {name}."
