"""Survey: the links between all hosts, measured before their ranks are dealt.

It is the forming of a group of one rank a host, which then computes nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from banyan.core.context import Context
from banyan.engine.cluster.forming import Forming, Place
from banyan.engine.cluster.frames import Prepared, Unable
from banyan.engine.cluster.lobby import Guest
from banyan.engine.cluster.probe import Links
from banyan.engine.cluster.ranks import LocalRanks
from banyan.engine.cluster.replica import Surroundings, own_member, stop


class Survey:
    """One at a time."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._forming: Forming | None = None

    def answer(self, guest: Guest, answer: Prepared | Unable) -> None:
        """Raises ``ValueError`` for what cannot be."""
        forming = self._forming
        if forming is not None:
            forming.hear(guest, answer)

    def links(self, guests: Sequence[Guest], context: Context) -> Links:
        """Those between this host (0) and ``guests`` (1 ...); none where they cannot be measured.

        Raises ``ClusterError`` naming a host that cannot take part, and what ``context.check``
        raises.
        """
        if not guests:
            return {}
        around = self._around
        places = [Place(guest=guest, ranks=1) for guest in (None, *guests)]
        local = LocalRanks([0], around.settings.address, lambda _: None)
        forming = Forming(secrets.token_hex(8), around.changed, around.is_here)
        self._forming = forming
        try:
            members = forming.members(places, local, own_member(around.settings), context)
            return forming.links(places, members, local, around.settings.pem)
        finally:
            stop(forming.id, guests)
            local.close()
