"""Probe: the links between the hosts, measured before anyone knows who will compute what.

Each host's supervisor takes part with a listener of its own. What cannot be measured is
assumed by whoever plans; that the ranks cannot reach each other is for themselves to find out.
"""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Sequence
from typing import Final

from banyan.core.errors import ClusterError
from banyan.core.layout import LinkFacts
from banyan.engine.comm.measure import measure_links
from banyan.engine.comm.mesh import join_mesh
from banyan.engine.comm.roster import Member, Roster

MEET_S: Final = 5.0
"""How long the hosts may take to reach each other."""
PROBE_S: Final = 10.0
"""How long measuring may take then."""

Links = dict[tuple[int, int], LinkFacts]


def roster_of(hosts: Sequence[tuple[str, int]], pem: str = "") -> Roster:
    """One member for each host, by address and port of its listener, under a key of their own."""
    members = (
        Member(rank=number, host=number, address=address, port=port)
        for number, (address, port) in enumerate(hosts)
    )
    return Roster(
        group_id=secrets.token_hex(8), key=secrets.token_hex(32), members=tuple(members), pem=pem
    )


def probe(roster: Roster, rank: int, listener: socket.socket) -> Links:
    """Links from host to host by their numbers, measured by all of ``roster`` at once; ``listener``
    is closed at the end. Raises ``ClusterError``."""
    group = join_mesh(roster, rank, listener, timeout_s=MEET_S)
    limit = threading.Timer(PROBE_S, group.close)  # whoever waits then sees a broken link
    limit.start()
    try:
        matrix = measure_links(group)
    except (OSError, ValueError) as error:
        raise ClusterError(f"The links could not be measured: {error}.") from None
    finally:
        limit.cancel()
        group.close()
    hosts = range(len(matrix))
    return {(i, j): matrix[i][j] for i in hosts for j in hosts if i != j}
