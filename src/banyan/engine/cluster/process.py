"""ClusterProcess: an ``EngineProcess`` whose ranks are spread over the hosts of a ``Replica``.

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
from banyan.engine.calls import Call, Calls
from banyan.engine.cluster.failure import GRACE_S
from banyan.engine.cluster.replica import Replica
from banyan.engine.config import EngineConfig
from banyan.engine.process import EngineProcess
from banyan.engine.stats import EngineStats
from banyan.engine.wire import Channel, Json

LOOK_S: Final = 0.1
AGAIN_S: Final = 2.0
"""Pause before a group that was lost is formed again."""
CAUSE_S: Final = 5.0
"""How long a failed call waits for the head to know why."""
LAST_WORDS_S: Final = 0.5
"""How long a lost group's rank 0 may take to say of which kind its failure was."""
RETRY: Final = "Retry in a few seconds: the group forms again when all hosts are back."


class ClusterProcess(EngineProcess):
    """See the module; ``start`` begins to form the group. ``on_event`` is told, for a person, when
    the group is lost and when it runs again."""

    def __init__(
        self,
        path: Path,
        config: EngineConfig,
        replica: Replica,
        *,
        name: str,
        on_event: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(path, config)
        self._replica = replica
        self._name = name
        self._called = replica.name or "cluster"
        self._on_event = on_event
        self._ending = Context()
        self._trouble: BanyanError | None = None
        self._told = ""
        self._ready = threading.Event()
        self._calls: Calls | None = None
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> Literal["installed", "loading", "ready"]:
        return "ready" if self._is_up else "loading"

    @property
    def stats(self) -> EngineStats | None:
        """As rank 0 last told, at once; None while the group does not run."""
        calls = self._calls
        return calls.stats if calls is not None and self._is_up else None

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

    def unload(self) -> None:
        """End the group; it does not form again."""
        self._ending.cancel.set()
        self._replica.close("The head was closed.")
        if self._thread is not None:
            self._thread.join()

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
        self._replica.fail(str(error))
        awaited = self._replica.awaited
        self._trouble = None if awaited else error
        if not self._ending.cancel.is_set():
            self._tell(f"The {self._called} is down. {error} {awaited}".strip())

    def _tell(self, news: str) -> None:
        """Tell a person, but not the same again at each of many attempts."""
        if news != self._told:
            self._told = news
            self._on_event(news)

    def _run_once(self) -> None:
        """Form the group and stay until it is lost; raises why."""
        connection = self._replica.form(self.path, self._name, self.config, self._ending)
        calls = self._calls = Calls(Channel(connection))
        try:
            while not (calls.wait_end(LOOK_S) or self._replica.cause):
                self._ending.check()
                self._look_at(calls)
            raise self._why_lost(calls)
        except BanyanError as error:
            self._ready.clear()
            cause = self._replica.cause
            calls.close(ClusterDown(cause, remedy=RETRY) if cause else error)
            raise

    def _look_at(self, calls: Calls) -> None:
        if not self._ready.is_set() and calls.is_ready and self._replica.is_ready:
            self._trouble = None
            self._ready.set()
            self._tell(f"The {self._called} is ready.")

    def _why_lost(self, calls: Calls) -> BanyanError:
        """What rank 0 says of its loading counts, unless it only says that others are gone; all
        else the head knows better, if only in a moment."""
        calls.wait_end(LAST_WORDS_S)
        error = calls.failure
        if error is not None and not isinstance(error, (EngineFailed, PeerLost, HostUnreachable)):
            return error
        return ClusterDown(self._cause_within(2 * GRACE_S) or str(error))

    def _cause_within(self, timeout_s: float) -> str:
        """Why the head has given the group up, as soon as it has; empty when it does not."""
        deadline = time.monotonic() + timeout_s
        while not self._replica.cause and time.monotonic() < deadline:
            self._ending.check()
            self._ending.cancel.wait(LOOK_S)
        return self._replica.cause

    def _live_link(self) -> Calls:
        self.start()
        calls = self._calls
        if calls is None or not self._is_up:
            raise self._down()
        return calls

    @property
    def _is_up(self) -> bool:
        return self._ready.is_set() and not self._replica.cause

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
        calls = self._calls
        if isinstance(error, ClusterError):  # rank 0 lost another one: it can compute no more
            self._replica.suspect(str(error))
        elif calls is not None and not calls.has_failed and self._is_up:
            return error  # a step failed, the engine goes on
        cause = self._cause_within(CAUSE_S)
        return ClusterDown(cause, remedy=RETRY) if cause else error

    def _down(self) -> ClusterDown:
        trouble = "" if self._trouble is None else str(self._trouble)
        cause = f"{self._replica.cause or trouble} {self._replica.awaited}".strip()
        return ClusterDown(
            f"The {self._called} is not ready. {cause or 'It is forming.'}", remedy=RETRY
        )
