"""Part: what one host does for one group: listeners, the weights of its ranks, their processes, and
the way of calls to rank 0, where that is here."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from banyan.core.errors import (
    BanyanError,
    CheckpointInvalid,
    ClusterError,
    JoinRefused,
    NotFound,
)
from banyan.core.layout import Budget
from banyan.engine.cluster.control import CALLS, SLICE
from banyan.engine.cluster.frames import (
    MAX_MESSAGE,
    Prepare,
    Probe,
    RankNews,
    RankState,
    RankVitals,
)
from banyan.engine.cluster.probe import probe
from banyan.engine.cluster.ranks import LocalRanks
from banyan.engine.cluster.relay import relayed
from banyan.engine.cluster.slice_cache import Slice, SliceCache
from banyan.engine.cluster.slices import receive_slice, slice_name
from banyan.engine.comm import handshake
from banyan.engine.comm.stream import Stream
from banyan.engine.formation import Formation
from banyan.engine.identity import identify

END_S: Final = 5.0
"""How long the end of a slice that is being fetched is waited for."""
_TURN: Final = threading.Lock()
"""Replicas that want the same slice wait for the one that fetches it."""
SHOW_S: Final = 1.0
"""How often the progress of a slice is told."""


class Part:
    """``find`` gives the path of an installed model of that name, or raises ``NotFound``;
    ``slices`` keeps slices, and digests beside them; ``budget`` is each rank's; ``call`` makes a
    proven connection to the head. ``on_news`` is told of ranks, ``on_event`` what a person may like
    to know; neither once this is closed."""

    def __init__(
        self,
        order: Prepare,
        *,
        find: Callable[[str], Path],
        slices: SliceCache,
        budget: Budget,
        call: Callable[[handshake.Hello], Stream],
        on_news: Callable[[RankNews], None],
        on_event: Callable[[str], None],
    ) -> None:
        """Bind the listeners. Raises ``ClusterError``."""
        self._find = find
        self._slices = slices
        self._used: list[Slice] = []
        self._call = call
        self._on_news = on_news
        self._on_event = on_event
        self.size = len(order.ranks)
        self._group_id = order.group
        self._closed = False
        self._fetching: Stream | None = None
        self._thread: threading.Thread | None = None
        self._ranks = LocalRanks(order.ranks, order.address, self._note, budget)

    @property
    def ports(self) -> dict[int, int]:
        return self._ranks.ports

    @property
    def vitals(self) -> tuple[RankVitals, ...]:
        return tuple(replace(one, group=self._group_id) for one in self._ranks.vitals)

    def probe(self, order: Probe) -> None:
        """Take part in measuring the links between the hosts, in a thread."""
        threading.Thread(target=self._probe, args=(order,), daemon=True).start()

    def start(self, formation: Formation) -> None:
        """Start the ranks, in a thread; what becomes of each is told."""
        self._thread = threading.Thread(target=self._run, args=(formation,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the ranks, and the fetching of a slice if that is under way."""
        self._closed = True
        fetching = self._fetching
        if fetching is not None:
            try:
                fetching.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it was through
            if self._thread is not None:
                self._thread.join(END_S)
        self._ranks.close()
        for used in self._used:
            used.close()

    def _probe(self, order: Probe) -> None:
        try:
            probe(order.roster, order.rank, self._ranks.listener)
        except (ClusterError, OSError) as error:
            self._on_event(f"The links to the other hosts could not be measured. {error}")

    def _run(self, formation: Formation) -> None:
        for rank in list(self.ports):
            try:
                path = self._weights(formation, rank)
                calls = relayed(self._call(self._hello(CALLS))) if rank == 0 else None
            except (BanyanError, OSError) as error:
                remedy = error.remedy if isinstance(error, BanyanError) else ""
                message = f"{error} {remedy}".strip()[:MAX_MESSAGE]
                self._note(RankState(rank=rank, state="failed", message=message))
                return
            self._ranks.start(formation, rank, path, calls)

    def _weights(self, formation: Formation, rank: int) -> Path:
        """Where the weights of ``rank`` are on this host: the same checkpoint as the head's, or a
        slice of it, which is fetched if it is not here yet."""
        model = formation.model
        try:
            path = self._find(model.name)
            here = identify(path, model.name, self._slices.folder)
        except (NotFound, CheckpointInvalid):
            return self._slice(formation, rank)
        if here.digest != model.digest:
            raise JoinRefused(
                f"This host's {model.name} is {here.digest[:12]}, the head's is "
                f"{model.digest[:12]}: they are not the same checkpoint.",
                remedy=f"`banyan models remove {model.name}` here; the head then sends its own.",
            )
        return path

    def _slice(self, formation: Formation, rank: int) -> Path:
        share = formation.layout.share(rank)
        name = slice_name(formation.model, share, leads=rank == 0)
        with _TURN:
            found = self._slices.find(name) or self._fetched(formation, rank, name)
        self._used.append(found)
        if self._closed:
            found.close()
        return found.path

    def _fetched(self, formation: Formation, rank: int, name: str) -> Slice:
        self._on_event(f"Fetching rank {rank}'s part of {formation.model.name}.")
        shown = [time.monotonic()]

        def progress(done: int, total: int) -> None:
            if time.monotonic() - shown[0] > SHOW_S or done == total:
                shown[0] = time.monotonic()
                self._on_event(f"Rank {rank}: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB")

        hello: handshake.Hello = {**self._hello(SLICE), "rank": rank}
        with contextlib.closing(self._call(hello)) as connection:
            self._fetching = connection
            try:
                return receive_slice(connection, self._slices, name, progress)
            finally:
                self._fetching = None

    def _hello(self, purpose: str) -> handshake.Hello:
        return {"purpose": purpose, "group": self._group_id}

    def _note(self, state: RankState) -> None:
        if not self._closed:
            self._on_news(RankNews(group=self._group_id, state=state))
            said = f": {state.message}" if state.message else ""
            self._on_event(f"Rank {state.rank} {state.state}{said}")
