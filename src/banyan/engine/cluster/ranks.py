"""Ranks: the rank processes of one host in one group.

The host's supervisor binds a listener for each rank before anyone is told where it is, makes the
memory they share, starts them (``rank_process.py``) and passes on what becomes of them.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from banyan.core.errors import ClusterError
from banyan.core.layout import Budget
from banyan.engine.cluster.frames import RankState, RankVitals
from banyan.engine.cluster.rank_process import OnChange, RankProcess
from banyan.engine.comm import shared
from banyan.engine.formation import Formation, Seat
from banyan.engine.pulse import Progress

NO_BUDGET: Final = Budget()


class LocalRanks:
    """The ranks of one formation on this host. ``on_change`` is called from their threads, and no
    more once they are being closed."""

    def __init__(
        self,
        ranks: Sequence[int],
        address: str,
        on_change: OnChange,
        budget: Budget = NO_BUDGET,
    ) -> None:
        """Raises ``ClusterError`` when this host cannot listen at ``address``."""
        self._on_change = on_change
        self._budget = budget
        self._listeners: dict[int, socket.socket] = {}
        self._processes: dict[int, RankProcess] = {}
        self._memory: int | None = None
        self._closed = False
        self._lock = threading.Lock()
        try:
            for rank in ranks:
                self._listeners[rank] = socket.create_server((address, 0), backlog=64)
            self._memory = shared.create(len(ranks)) if len(ranks) > 1 else None
        except OSError as error:
            self.close()
            raise ClusterError(
                f"Its ranks cannot listen at {address}: {error.strerror or error}.",
                remedy="That address, where the head sees this host, must be its own (no address "
                "translation between).",
            ) from None

    @property
    def ports(self) -> dict[int, int]:
        """Of the listeners that are still held here."""
        return {rank: int(held.getsockname()[1]) for rank, held in self._listeners.items()}

    @property
    def listener(self) -> socket.socket:
        """That of the first rank, which is still held here."""
        return next(iter(self._listeners.values()))

    def start(
        self, formation: Formation, rank: int, path: Path, calls: socket.socket | None = None
    ) -> None:
        """Start the process of ``rank``, which loads the checkpoint or slice at ``path``; of no
        effect on ranks that are closed. Rank 0 answers ``calls``, which is its own from now on."""
        with self._lock, calls or nullcontext():
            if not self._closed:
                seat = Seat(
                    formation=formation,
                    rank=rank,
                    listener_fd=self._listeners[rank].fileno(),
                    memory_fds=() if self._memory is None else (self._memory,),
                    calls_fd=None if calls is None else calls.fileno(),
                    budget=self._budget,
                )
                self._processes[rank] = RankProcess(seat, path, self._change)
                self._listeners.pop(rank).close()

    @property
    def vitals(self) -> tuple[RankVitals, ...]:
        """Memory and progress of those that run."""
        return tuple(process.vitals for process in list(self._processes.values()))

    @property
    def progress(self) -> dict[int, Progress]:
        """How far those that run have come."""
        return {rank: process.progress for rank, process in list(self._processes.items())}

    def close(self) -> None:
        """End every rank and wait for their ends."""
        self._closed = True  # at once: what their ends look like is of no interest any more
        with self._lock:
            processes = list(self._processes.values())
            listeners, self._listeners = self._listeners, {}
            memory, self._memory = self._memory, None
        for process in processes:
            process.kill()
        for listener in listeners.values():
            listener.close()
        if memory is not None:
            os.close(memory)
        for process in processes:
            process.join()

    def _change(self, state: RankState) -> None:
        if not self._closed:
            self._on_change(state)
