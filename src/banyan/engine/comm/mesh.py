"""Mesh: how the ranks of a roster find each other.

Every rank listens before anyone is told the roster. Of two ranks the higher one connects; the
handshake (``handshake.py``) proves that both belong to the group, and the hello says who is calling
and what for. Strangers are turned away without disturbing those who belong.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Final

from banyan.core.errors import ClusterError, HostUnreachable, JoinRefused
from banyan.engine.comm import handshake
from banyan.engine.comm.group import Group
from banyan.engine.comm.link import Link
from banyan.engine.comm.roster import Member, Roster
from banyan.engine.comm.shared import HostMemory
from banyan.engine.comm.tls import Tls, TlsLink
from banyan.engine.comm.topology import Topology

MESH_TIMEOUT_S: Final = 30.0
"""How long all links together may take."""
MAX_HANDSHAKES: Final = 32
"""Connections that may be in their handshake at one time."""
RETRY_S: Final = 0.05
DATA: Final = "data"

Pairs = Iterable[tuple[int, int]]


def join_mesh(
    roster: Roster,
    rank: int,
    listener: socket.socket,
    memory: HostMemory | None = None,
    *,
    channels: Mapping[str, Pairs] | None = None,
    timeout_s: float = MESH_TIMEOUT_S,
) -> Group:
    """Connect ``rank`` with all others, and for each further channel the pairs of ranks it names.

    Where the roster has a certificate all links are encrypted. The listener is closed at the end.
    Raises ``HostUnreachable`` naming a rank that could not be reached in time, ``JoinRefused`` when
    one refuses, and ``ClusterError`` for a certificate that is none.
    """
    everyone = [(a, b) for a in range(len(roster.members)) for b in range(a)]
    wanted = {DATA: everyone, **{name: list(pairs) for name, pairs in (channels or {}).items()}}
    mesh = _Mesh(roster, rank, wanted, time.monotonic() + timeout_s)
    try:
        mesh.run(listener)
    except ClusterError:
        mesh.close()
        raise
    finally:
        _end(listener)
    return Group(
        rank=rank,
        topology=Topology.of_roster(roster),
        links=mesh.links.pop(DATA),
        memory=memory,
        channels=mesh.links,
    )


class _Mesh:
    """The links of one rank while they are being made."""

    def __init__(
        self,
        roster: Roster,
        rank: int,
        wanted: Mapping[str, Pairs],
        deadline: float,
    ) -> None:
        self._roster = roster
        self._rank = rank
        self._key = bytes.fromhex(roster.key)
        self._deadline = deadline
        self._tls = Tls.of(roster.pem) if roster.pem else None
        self._calls, self._awaited = _split(wanted, rank)
        self._changed = threading.Condition()
        self._places = threading.Semaphore(MAX_HANDSHAKES)
        self.links: dict[str, dict[int, Link]] = {name: {} for name in wanted}

    def run(self, listener: socket.socket) -> None:
        listener.settimeout(RETRY_S)
        threading.Thread(target=self._accept_all, args=(listener,), daemon=True).start()
        for purpose, peer in self._calls:
            connection = self._call(purpose, self._roster.members[peer])
            self.links[purpose][peer] = self._link(peer, connection)
        with self._changed:
            while self._awaited and time.monotonic() < self._deadline:
                self._changed.wait(RETRY_S)
            if self._awaited:
                missing = sorted({peer for _, peer in self._awaited})
                members = [self._roster.members[peer] for peer in missing]
                told = ", ".join(f"rank {member.rank} ({member.address})" for member in members)
                raise HostUnreachable(
                    f"Rank {self._rank} was not called in time by {told}.",
                    remedy="Check that these hosts can reach this one (firewall, addresses).",
                )

    def close(self) -> None:
        for links in self.links.values():
            for link in links.values():
                link.close()

    def _call(self, purpose: str, member: Member) -> socket.socket:
        hello: handshake.Hello = {
            "purpose": purpose,
            "from": self._rank,
            "to": member.rank,
            "group": self._roster.group_id,
        }
        while True:
            connection = self._reach(member)
            left = max(RETRY_S, self._deadline - time.monotonic())
            try:
                if self._tls is not None:
                    connection = self._tls.connect(connection, timeout_s=left)
                handshake.connect(connection, self._key, hello, timeout_s=left)
            except ClusterError as error:
                connection.close()
                if isinstance(error, JoinRefused) or time.monotonic() > self._deadline:
                    raise
                time.sleep(RETRY_S)  # it hung up: strangers may hold all its places for a moment
            else:
                return connection

    def _reach(self, member: Member) -> socket.socket:
        """A connected socket; a listener that is not up yet is tried again until the deadline."""
        while True:
            left = self._deadline - time.monotonic()
            try:
                return socket.create_connection(
                    (member.address, member.port), timeout=max(RETRY_S, left)
                )
            except OSError as error:
                if left <= 0:
                    raise HostUnreachable(
                        f"Rank {self._rank} cannot reach rank {member.rank} at "
                        f"{member.address}:{member.port}: {error}.",
                        remedy="Check that the hosts can reach each other (firewall, addresses).",
                    ) from None
                time.sleep(RETRY_S)

    def _accept_all(self, listener: socket.socket) -> None:
        while self._awaited and time.monotonic() < self._deadline:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                if listener.fileno() < 0:
                    return  # it was closed
                time.sleep(RETRY_S)  # no descriptor is free for the moment
                continue
            if not self._places.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(target=self._admit, args=(connection,), daemon=True).start()

    def _admit(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.accept(connection)
            hello = handshake.accept(connection, self._key)
            purpose, peer = str(hello.get("purpose")), hello.get("from")
            belongs = hello.get("group") == self._roster.group_id and hello.get("to") == self._rank
            if not isinstance(peer, int) or not belongs:
                raise JoinRefused("A call was meant for another rank.")
            self._keep(purpose, peer, connection)
        except ClusterError:
            connection.close()
        finally:
            self._places.release()

    def _keep(self, purpose: str, peer: int, connection: socket.socket) -> None:
        """Take a proven connection in; raises ``JoinRefused`` for one that is not expected."""
        with self._changed:
            if (purpose, peer) not in self._awaited:
                raise JoinRefused(f"Rank {peer} is not expected to call for {purpose!r} now.")
            self.links[purpose][peer] = self._link(peer, connection)
            self._awaited.remove((purpose, peer))
            self._changed.notify()

    def _link(self, peer: int, connection: socket.socket) -> Link:
        name = f"rank {peer} on host {self._roster.members[peer].host}"
        if isinstance(connection, ssl.SSLSocket):
            return TlsLink(connection, peer=peer, name=name)
        return Link(connection, peer=peer, name=name)


def _end(listener: socket.socket) -> None:
    try:
        listener.shutdown(socket.SHUT_RDWR)  # ends an accept that is under way
    except OSError:
        pass  # not everywhere is a listener "connected"
    listener.close()


def _split(
    wanted: Mapping[str, Pairs], rank: int
) -> tuple[list[tuple[str, int]], set[tuple[str, int]]]:
    """Whom ``rank`` calls, and who calls it: (purpose, peer) each."""
    calls, awaited = [], set()
    for purpose, pairs in wanted.items():
        for pair in pairs:
            low, high = min(pair), max(pair)
            if rank == high:
                calls.append((purpose, low))
            elif rank == low:
                awaited.add((purpose, high))
    return calls, awaited
