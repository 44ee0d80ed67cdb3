"""IngestWorker: the process of ``banyan.app`` that works the queue of uploads, from outside."""

from __future__ import annotations

import subprocess
import sys
import threading

from banyan.core.settings import Settings


class IngestWorker:
    """The process that works the queue of uploads. It ends when its standard input closes."""

    def __init__(self, settings: Settings) -> None:
        self._environment = settings.environment()
        self._lock = threading.Lock()
        self._closed = False
        self._process = self._start()

    def ensure_running(self) -> None:
        with self._lock:
            if self._process.poll() is not None and not self._closed:
                if self._process.stdin is not None:
                    self._process.stdin.close()
                self._process = self._start()

    def close(self) -> None:
        with self._lock:  # one that is just being started again ends, too
            self._closed = True
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()  # what it had in hand is taken up at the next start
            self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            # -P: what lies in the folder the user is in is not imported.
            [sys.executable, "-P", "-m", "banyan.app"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=self._environment,
            start_new_session=True,  # Ctrl-C in the terminal is the server's to handle
        )
