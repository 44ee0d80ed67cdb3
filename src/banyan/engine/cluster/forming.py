"""Forming: every rank gets a listener before anyone is told where the others are. The same way the
links between the hosts are measured, before anyone knows who will compute what."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from banyan.core.context import Context
from banyan.core.errors import ClusterDown, ClusterError, HostUnreachable
from banyan.engine.cluster.frames import MAX_MESSAGE, Prepare, Prepared, Probe, Unable, frame
from banyan.engine.cluster.lobby import Guest
from banyan.engine.cluster.probe import Links, probe, roster_of
from banyan.engine.cluster.ranks import LocalRanks
from banyan.engine.comm.roster import Member

POLL_S: Final = 0.1
PREPARE_S: Final = 10.0
"""How long a host may take to bind its listeners."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What one host gives to a group: so many ranks. ``guest`` None: the head's own host."""

    guest: Guest | None
    ranks: int


@dataclass(slots=True)
class _Answer:
    """What a guest says to being asked for ``ranks``: their ports, or why it has none."""

    ranks: tuple[int, ...]
    ports: dict[int, int] = field(default_factory=dict)
    unable: str = ""


class Forming:
    """Asks guests for the listeners of the group ``id``. ``changed`` is notified whenever a guest
    has said something; ``is_here`` tells whether one still is."""

    def __init__(
        self, id: str, changed: threading.Condition, is_here: Callable[[Guest], bool]
    ) -> None:
        self.id = id
        self._changed = changed
        self._is_here = is_here
        self._answers: dict[Guest, _Answer] = {}

    def members(
        self, places: Sequence[Place], local: LocalRanks, own: Member, context: Context
    ) -> list[Member]:
        """All ranks, place by place; ``own`` is what those of the head have in common.

        Raises ``ClusterDown`` and ``HostUnreachable`` naming the host, and what ``context.check``
        raises.
        """
        members: list[Member] = []
        for number, place in enumerate(places):
            ranks = tuple(range(len(members), len(members) + place.ranks))
            if place.guest is None:
                ports, like = local.ports, own
            else:
                ports = self._asked(place.guest, ranks, context)
                like = _like(place.guest)
            members += [replace(like, rank=rank, host=number, port=ports[rank]) for rank in ranks]
        return members

    def links(
        self, places: Sequence[Place], members: Sequence[Member], local: LocalRanks, pem: str
    ) -> Links:
        """The links between hosts that have one member each, by their places; none where that does
        not work out, for the ranks themselves will find out why."""
        roster = roster_of([(member.address, member.port) for member in members], pem)
        for number, place in enumerate(places):
            if place.guest is not None:
                order = Probe(group=self.id, roster=roster, rank=number)
                place.guest.conversation.send(frame("probe", order))
        try:
            return probe(roster, 0, local.listener)
        except ClusterError:
            return {}

    def hear(self, guest: Guest, said: Prepared | Unable) -> None:
        """A guest's answer. Raises ``ValueError`` for ports of other ranks than it was asked for.

        An answer to what was not asked, or was asked for another group, is of no effect.
        """
        answer = self._answers.get(guest)
        if answer is None or said.group != self.id:
            return
        if isinstance(said, Unable):
            answer.unable = said.message[:MAX_MESSAGE]
            return
        ports = {entry.rank: entry.port for entry in said.ports}
        if set(ports) != set(answer.ranks):
            raise ValueError(
                f"it has ports for the ranks {sorted(ports)[:8]}; it was given the ranks "
                f"{list(answer.ranks)}"
            )
        answer.ports = ports

    def _asked(self, guest: Guest, ranks: tuple[int, ...], context: Context) -> dict[int, int]:
        """The ports of these ranks, once the guest has bound their listeners."""
        answer = self._answers[guest] = _Answer(ranks)
        order = Prepare(group=self.id, ranks=ranks, address=guest.address)
        guest.conversation.send(frame("prepare", order))
        deadline = time.monotonic() + PREPARE_S
        with self._changed:
            while not answer.ports:
                context.check()
                if not self._is_here(guest):
                    raise ClusterDown(f"{guest} left while the group was formed. {guest.lost}")
                if answer.unable:
                    raise ClusterError(f"{guest} cannot take part. {answer.unable}")
                if time.monotonic() > deadline:
                    raise HostUnreachable(f"{guest} did not prepare its ranks in {PREPARE_S:g} s.")
                self._changed.wait(POLL_S)
        return answer.ports


def _like(guest: Guest) -> Member:
    """What the ranks of a guest have in common."""
    report = guest.report
    return Member(
        rank=0, host=0, address=guest.address, port=0, device=report.device, sharers=report.ranks
    )
