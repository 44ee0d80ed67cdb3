"""Roster: the ranks of one group, where each listens, and the key they know each other by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One rank: the number of its host, and the address and port its listener is bound to;
    ``sharers`` are the ranks, of this group or of others, that share the cores of its host."""

    rank: int
    host: int
    address: str
    port: int
    device: str = "cpu"
    sharers: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """``members[i]`` is rank i. ``key`` (hex) is this group's own secret, made by the head for this
    formation and told to each host over its authenticated control connection, like ``pem``: the key
    and certificate of TLS between ranks (empty: they talk in the clear)."""

    group_id: str
    key: str
    members: tuple[Member, ...]
    pem: str = ""

    @property
    def hosts(self) -> tuple[tuple[int, ...], ...]:
        """The ranks of each host, in order."""
        count = 1 + max(member.host for member in self.members)
        return tuple(
            tuple(member.rank for member in self.members if member.host == host)
            for host in range(count)
        )
