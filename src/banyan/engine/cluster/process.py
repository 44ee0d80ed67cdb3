"""ClusterProcess: an ``EngineProcess`` whose model is spread over the hosts of a ``Head``.

A thread forms the group as soon as all hosts are here, and again whenever it was lost. Meanwhile
calls raise ``ClusterDown`` at once, with the cause; calls under way when it is lost end with it,
too. Retrying them is the client's choice: the answer says when (Retry-After).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from banyan.core.context import Context
from banyan.core.errors import BanyanError, Cancelled, ClusterDown, ClusterError, EngineFailed
from banyan.engine.cluster.head import Head
from banyan.engine.config import EngineConfig
from banyan.engine.link import Call, Link
from banyan.engine.process import EngineProcess
from banyan.engine.wire import Json

LOOK_S: Final = 0.2
AGAIN_S: Final = 2.0
"""Pause before a group that could not be formed is tried again."""
CAUSE_S: Final = 5.0
"""How long a failed call waits for the head to know why."""


class ClusterProcess(EngineProcess):
    """See the module; ``start`` begins to form the group."""

    def __init__(self, path: Path, config: EngineConfig, head: Head, *, name: str) -> None:
        super().__init__(path, config)
        self._head = head
        self._name = name
        self._ending = Context()
        self._trouble: BanyanError | None = None
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> Literal["installed", "loading", "ready"]:
        return "ready" if self._is_up else "loading"

    def start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name="cluster", daemon=True)
                self._thread.start()

    def wait_ready(self, context: Context) -> None:
        """Wait until the group runs. Raises what ``context.check`` raises, and whatever keeps it
        from being formed."""
        self.start()
        while not self._ready.wait(LOOK_S):
            context.check()
            if self._trouble is not None:
                raise self._trouble

    def unload(self) -> None:
        """End the group and the head."""
        self._ending.cancel.set()
        self._head.close()
        if self._thread is not None:
            self._thread.join()
        super().unload()

    def _keep(self) -> None:
        while not self._ending.cancel.is_set():
            try:
                self._run_once()
            except Cancelled:
                return
            except BanyanError as error:
                self._trouble = error
                self._head.fail(str(error))
            self._ready.clear()
            self._ending.cancel.wait(AGAIN_S)

    def _run_once(self) -> None:
        """Form the group and stay until it is lost; raises why."""
        seat = self._head.form(self.path, self._name, self.config, self._ending)
        link = Link(self.path, self.config, idle_unload_s=None, seat=seat)
        with self._lock:
            self._link = link
        try:
            self._head.wait_ready(self._ending)
            link.wait_ready(self._ending)
            self._trouble = None
            self._ready.set()
            while not link.wait_end(LOOK_S):
                self._ending.check()
                if self._head.cause:
                    raise ClusterDown(self._head.cause)
            self._head.fail("Rank 0 on host head has ended.")
            raise ClusterDown(self._head.cause)
        except BanyanError as error:
            self._ready.clear()
            cause = self._head.cause
            link.close(ClusterDown(cause) if cause else error)
            raise

    def _live_link(self) -> Link:
        self.start()
        link = self._link
        if link is None or not self._is_up:
            raise self._down()
        return link

    @property
    def _is_up(self) -> bool:
        return self._ready.is_set() and not self._head.cause

    @contextmanager
    def _call(self, context: Context, op: str, arguments: Json) -> Iterator[Call]:
        try:
            with super()._call(context, op, arguments) as call:
                yield call
        except (ClusterError, EngineFailed) as error:
            if isinstance(error, ClusterDown):
                raise
            raise self._explained(error) from None

    def _explained(self, error: BanyanError) -> BanyanError:
        """What broke a call, in the words of the head if it has lost somebody just now."""
        waiting = threading.Event()
        for _ in range(int(CAUSE_S / LOOK_S)):
            if self._head.cause:
                return ClusterDown(self._head.cause, remedy=RETRY)
            if self._is_up and isinstance(error, EngineFailed):
                return error
            waiting.wait(LOOK_S)
        return error

    def _down(self) -> ClusterDown:
        missing = self._head.missing
        cause = self._head.cause or (str(self._trouble) if self._trouble else "")
        if not cause:
            cause = f"{missing} of its hosts have yet to join." if missing > 0 else "It is forming."
        return ClusterDown(f"The cluster is not ready. {cause}", remedy=RETRY)


RETRY: Final = "Retry in a few seconds: the group forms again when all hosts are back."
