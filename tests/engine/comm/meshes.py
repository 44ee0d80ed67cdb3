"""Meshes whose ranks are threads of one process, each with a listener of its own on loopback."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from banyan.engine.comm.group import Group
from banyan.engine.comm.mesh import Pairs, join_mesh
from banyan.engine.comm.roster import Member, Roster


def listeners(hosts: Sequence[int], pem: str = "") -> tuple[Roster, list[socket.socket]]:
    """A roster of hosts with so many ranks, and the bound listener of each rank."""
    made = [socket.create_server(("127.0.0.1", 0), backlog=64) for _ in range(sum(hosts))]
    places = [host for host, ranks in enumerate(hosts) for _ in range(ranks)]
    members = tuple(
        Member(rank=rank, host=places[rank], address="127.0.0.1", port=each.getsockname()[1])
        for rank, each in enumerate(made)
    )
    return Roster(group_id="g", key=secrets.token_hex(32), members=members, pem=pem), made


class Joining:
    """One rank on its way into the mesh."""

    def __init__(
        self,
        roster: Roster,
        rank: int,
        listener: socket.socket,
        *,
        channels: dict[str, Pairs] | None = None,
        timeout_s: float = 20.0,
    ) -> None:
        self.error: Exception | None = None
        self._group: Group | None = None

        def work() -> None:
            try:
                self._group = join_mesh(
                    roster, rank, listener, channels=channels, timeout_s=timeout_s
                )
            except Exception as error:
                self.error = error

        self._thread = threading.Thread(target=work)
        self._thread.start()

    def wait(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()

    @property
    def group(self) -> Group:
        self.wait()
        assert self._group is not None, self.error
        return self._group

    def close(self) -> None:
        self.wait()
        if self._group is not None:
            self._group.close()


@contextmanager
def mesh(
    hosts: Sequence[int], *, channels: dict[str, Pairs] | None = None, pem: str = ""
) -> Iterator[list[Group]]:
    """The groups of all ranks, connected."""
    roster, made = listeners(hosts, pem)
    joining = [Joining(roster, rank, each, channels=channels) for rank, each in enumerate(made)]
    try:
        yield [each.group for each in joining]
    finally:
        for each in joining:
            each.close()
