"""Forming: every rank gets a listener before anyone is told where the others are, and the links
between the hosts are measured before anyone is told what to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from banyan.core.context import Context
from banyan.core.errors import ClusterDown, ClusterError, HostUnreachable
from banyan.engine.cluster.frames import (
    MAX_MESSAGE,
    Prepare,
    Prepared,
    Probe,
    Unable,
    frame,
    said,
)
from banyan.engine.cluster.lobby import Guest
from banyan.engine.cluster.probe import Links, port_of, probe, roster_of
from banyan.engine.cluster.ranks import LocalRanks
from banyan.engine.comm.roster import Member
from banyan.engine.wire import Json

POLL_S: Final = 0.1
PREPARE_S: Final = 10.0
"""How long a host may take to bind its listeners."""


class Forming:
    """Asks guests for listeners. ``changed`` is notified whenever a guest has said something;
    ``is_here`` tells whether one still is."""

    def __init__(self, changed: threading.Condition, is_here: Callable[[Guest], bool]) -> None:
        self._changed = changed
        self._is_here = is_here

    def members(
        self, local: LocalRanks, own: tuple[str, str], guests: Sequence[Guest], context: Context
    ) -> list[Member]:
        """All ranks, host by host; ``own`` are address and device of the head's own ranks.

        Raises ``ClusterDown`` and ``HostUnreachable`` naming the host, and what ``context.check``
        raises.
        """
        address, device = own
        members = [
            Member(rank=rank, host=0, address=address, port=port, device=device)
            for rank, port in local.ports.items()
        ]
        for number, guest in enumerate(guests, start=1):
            guest.number = number
            members += self._asked(guest, len(members), context)
        return members

    def links(self, local: LocalRanks, address: str, guests: Sequence[Guest], pem: str) -> Links:
        """The links between all hosts, as measured now; none where that does not work out, for the
        ranks themselves will find out why. ``address`` is the head's."""
        if not guests or not all(guest.probe_port for guest in guests):
            return {}
        own = (address, port_of(local.probe_listener))
        roster = roster_of([own, *((guest.address, guest.probe_port) for guest in guests)], pem)
        for guest in guests:
            order = Probe(roster=roster, rank=guest.number)
            guest.conversation.send(frame("probe", order))
        try:
            return probe(roster, 0, local.probe_listener)
        except ClusterError:
            return {}

    def hear(self, guest: Guest, message: Json) -> None:
        """A guest's answer. Raises ``ValueError`` for ports of other ranks than it was asked for.

        An answer that comes too late is of no effect.
        """
        if message["op"] == "unable":
            guest.unable = said(Unable, message).message[:MAX_MESSAGE]
        else:
            prepared = said(Prepared, message)
            ports = {entry.rank: entry.port for entry in prepared.ports}
            if guest.asked and set(ports) != set(guest.asked):
                raise ValueError(
                    f"it has ports for the ranks {sorted(ports)[:8]}; it was given the ranks "
                    f"{list(guest.asked)}"
                )
            guest.probe_port = prepared.probe_port
            guest.ports = ports

    def _asked(self, guest: Guest, first: int, context: Context) -> list[Member]:
        """The ranks of a guest, numbered from ``first``, once it has bound their listeners."""
        ranks = tuple(range(first, first + guest.report.ranks))
        guest.ports, guest.unable, guest.asked = {}, "", ranks
        guest.conversation.send(frame("prepare", Prepare(ranks=ranks, address=guest.address)))
        try:
            self._wait(guest, context)
        finally:
            guest.asked = ()
        return [
            Member(
                rank=rank,
                host=guest.number,
                address=guest.address,
                port=guest.ports[rank],
                device=guest.report.device,
            )
            for rank in ranks
        ]

    def _wait(self, guest: Guest, context: Context) -> None:
        deadline = time.monotonic() + PREPARE_S
        with self._changed:
            while not guest.ports:
                context.check()
                if not self._is_here(guest):
                    raise ClusterDown(f"{guest} left while the group was formed. {guest.lost}")
                if guest.unable:
                    raise ClusterError(f"{guest} cannot take part. {guest.unable}")
                if time.monotonic() > deadline:
                    raise HostUnreachable(f"{guest} did not prepare its ranks in {PREPARE_S:g} s.")
                self._changed.wait(POLL_S)
