"""ClusterProcess: an ``EngineProcess`` whose model is spread over the hosts of a ``Head``.

A thread forms the group as soon as all hosts are here, and again whenever it was lost. Meanwhile
calls raise ``ClusterDown`` at once, with the cause; calls under way when it is lost end with it,
too. Retrying them is the client's choice: the answer says when (Retry-After).
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from banyan.core.context import Context
from banyan.core.errors import (
    BanyanError,
    Cancelled,
    ClusterDown,
    ClusterError,
    EngineFailed,
    HostUnreachable,
    PeerLost,
)
from banyan.engine.cluster.failure import GRACE_S
from banyan.engine.cluster.frames import RankState
from banyan.engine.cluster.head import Head
from banyan.engine.cluster.rank_process import LOADING_SILENCE_S, SILENCE_S, why_ended
from banyan.engine.config import EngineConfig
from banyan.engine.link import Call, Link
from banyan.engine.process import EngineProcess
from banyan.engine.stats import EngineStats
from banyan.engine.wire import Json

LOOK_S: Final = 0.1
AGAIN_S: Final = 2.0
"""Pause before a group that was lost is formed again."""
CAUSE_S: Final = 5.0
"""How long a failed call waits for the head to know why."""
RETRY: Final = "Retry in a few seconds: the group forms again when all hosts are back."


class ClusterProcess(EngineProcess):
    """See the module; ``start`` begins to form the group. ``on_event`` is told, for a person, when
    the group is lost and when it runs again."""

    def __init__(
        self,
        path: Path,
        config: EngineConfig,
        head: Head,
        *,
        name: str,
        on_event: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(path, config)
        self._head = head
        self._name = name
        self._on_event = on_event
        self._ending = Context()
        self._trouble: BanyanError | None = None
        self._told = ""
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> Literal["installed", "loading", "ready"]:
        return "ready" if self._is_up else "loading"

    @property
    def stats(self) -> EngineStats | None:
        """As rank 0 last told, at once; None while the group does not run."""
        link = self._link
        return link.stats if link is not None and self._is_up else None

    def start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name="cluster", daemon=True)
                self._thread.start()

    def wait_ready(self, context: Context) -> None:
        """Wait until the group runs. Raises what ``context.check`` raises, and whatever keeps it
        from being formed while all hosts are here; one that has gone is awaited."""
        self.start()
        while not self._ready.wait(LOOK_S):
            context.check()
            if self._trouble is not None:
                raise self._trouble

    def blame(self, error: BanyanError) -> None:
        """A host that is awaited will not come: ``wait_ready`` raises why."""
        self._trouble = error

    def unload(self) -> None:
        """End the group and the head."""
        self._ending.cancel.set()
        self._head.close()
        if self._thread is not None:
            self._thread.join()
        super().unload()

    def _keep(self) -> None:
        """Form the group and stay with it, again and again."""
        while not self._ending.cancel.is_set():
            try:
                self._run_once()
            except Cancelled:
                return
            except BanyanError as error:
                self._lose(error)
            except (OSError, ValueError, ArithmeticError, subprocess.SubprocessError) as error:
                self._lose(ClusterError(f"The group cannot be formed: {error}."))
            self._ending.cancel.wait(AGAIN_S)

    def _lose(self, error: BanyanError) -> None:
        """The group is gone, for that reason."""
        self._ready.clear()
        self._head.fail(str(error))
        awaited = self._head.awaited
        self._trouble = None if awaited else error
        if not self._ending.cancel.is_set():
            self._tell(f"The cluster is down. {error} {awaited}".strip())

    def _tell(self, news: str) -> None:
        """Tell a person, but not the same again at each of many attempts."""
        if news != self._told:
            self._told = news
            self._on_event(news)

    def _run_once(self) -> None:
        """Form the group and stay until it is lost; raises why."""
        seat = self._head.form(self.path, self._name, self.config, self._ending)
        link = Link(self.path, self.config, idle_unload_s=None, seat=seat)
        with self._lock:
            self._link = link
        try:
            self._head.lead(RankState(rank=0, state="loading", pid=link.pid), self._rss)
            while not link.wait_end(LOOK_S):
                self._ending.check()
                self._look_at(link)
            raise self._why_ended(link)
        except BanyanError as error:
            self._ready.clear()
            cause = self._head.cause
            link.close(ClusterDown(cause, remedy=RETRY) if cause else error)
            raise

    def _look_at(self, link: Link) -> None:
        """Whether the group, and rank 0 in it, is all right. Raises ``ClusterDown``."""
        if not self._ready.is_set() and link.is_ready and self._head.others_are_ready:
            self._head.lead(RankState(rank=0, state="ready", pid=link.pid), self._rss)
            self._trouble = None
            self._ready.set()
            self._tell("The cluster is ready.")
        self._head.progress(link.progress)
        silence, allowed = link.silence_s, SILENCE_S if link.is_ready else LOADING_SILENCE_S
        if silence > allowed:
            message = f"It has not answered for {silence:.1f} s: it is stopped or stuck."
            told = RankState(rank=0, state="failed", message=message, pid=link.pid)
            self._head.lead(told, self._rss)
        if self._head.cause:
            raise ClusterDown(self._head.cause)

    def _why_ended(self, link: Link) -> BanyanError:
        """Rank 0 has ended. What it says counts, unless it only says that others are gone."""
        error = link.failure or EngineFailed("Its process has ended.")
        symptom = isinstance(error, (PeerLost, HostUnreachable))
        is_death = isinstance(error, EngineFailed) and link.exit_status != 0
        message = why_ended(link.exit_status) if is_death else str(error)
        state = RankState(rank=0, state="failed", message=message, pid=link.pid, symptom=symptom)
        self._head.lead(state, self._rss)
        if not symptom and not isinstance(error, EngineFailed):
            return error
        return ClusterDown(self._cause_within(2 * GRACE_S) or message)

    def _cause_within(self, timeout_s: float) -> str:
        """Why the head has given the group up, as soon as it has; empty when it does not."""
        deadline = time.monotonic() + timeout_s
        while not self._head.cause and time.monotonic() < deadline:
            self._ending.check()
            self._ending.cancel.wait(LOOK_S)
        return self._head.cause

    def _rss(self) -> int:
        return self.rss_bytes

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
        except ClusterDown:
            raise
        except (ClusterError, EngineFailed) as error:
            raise self._explained(error) from None

    def _explained(self, error: BanyanError) -> BanyanError:
        """What broke a call, in the words of the head if it has lost somebody just now."""
        link = self._link
        if isinstance(error, ClusterError):  # rank 0 lost another one: it can compute no more
            pid = 0 if link is None else link.pid
            told = RankState(rank=0, state="failed", message=str(error), pid=pid, symptom=True)
            self._head.lead(told, self._rss)
        elif link is not None and not link.has_failed and self._is_up:
            return error  # a step failed, the engine goes on
        cause = self._cause_within(CAUSE_S)
        return ClusterDown(cause, remedy=RETRY) if cause else error

    def _down(self) -> ClusterDown:
        trouble = "" if self._trouble is None else str(self._trouble)
        cause = f"{self._head.cause or trouble} {self._head.awaited}".strip()
        return ClusterDown(f"The cluster is not ready. {cause or 'It is forming.'}", remedy=RETRY)
