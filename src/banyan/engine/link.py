"""The parent's end of one engine process: starts it, sends calls, sorts what comes back.

A link lives as long as its process. It knows nothing of restarting; ``process.py`` does. It does
not import torch, nor may anything it imports.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import psutil

from banyan.core.errors import BanyanError, EngineFailed
from banyan.engine.calls import Calls
from banyan.engine.config import EngineConfig
from banyan.engine.wire import LOAD_ID, Channel

GRACE_S = 2.0
"""How long a process that has closed its socket may take to end before it is killed."""


class Link(Calls):
    """A process from its start to its end; ``idle_unload_s`` ends it after that long unused."""

    def __init__(self, path: Path, config: EngineConfig, *, idle_unload_s: float | None) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # -P: nothing of the user's folder is imported
                [sys.executable, "-P", "-m", "banyan.engine.child", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        super().__init__(Channel(ours))
        if idle_unload_s is not None:
            arguments = (idle_unload_s,)
            threading.Thread(target=self._watch, args=arguments, daemon=True).start()
        self._send({"op": "load", "id": LOAD_ID, "path": str(path), "config": asdict(config)})

    @property
    def rss_bytes(self) -> int:
        """Memory the process holds now; 0 when it has ended."""
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def _gone(self) -> BanyanError:
        return _death(self._reap())

    def _reap(self) -> int:
        """Make sure the process is gone; its exit status."""
        if not self._closing:
            try:
                return self._process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                pass
        self._process.kill()
        return self._process.wait()

    def _watch(self, idle_unload_s: float) -> None:
        while not self._ended.wait(min(1.0, idle_unload_s / 4)):
            with self._lock:
                busy = bool(self._calls) or not self._settled.is_set()
                idle = time.monotonic() - self._used_at > idle_unload_s
                self._closing = self._closing or (idle and not busy)
            if self._closing:
                self._channel.close()


def _death(status: int) -> EngineFailed:
    """What became of a process that nobody had asked to end."""
    if status >= 0:
        return EngineFailed(
            f"The engine's process ended with exit status {status}.",
            remedy="Retry: the next request starts it again. Its messages are in the log.",
        )
    name = signal.Signals(-status).name
    return EngineFailed(
        f"The engine's process was killed by {name}.",
        remedy="Retry: the next request starts it again. SIGKILL is often the system short of "
        "memory: then lower kv_cache_bytes or take a smaller model.",
    )
