"""Formation: what the head tells every rank: who is in the group, which model, who runs what."""

from __future__ import annotations

from dataclasses import dataclass

from banyan.core.layout import Budget, Layout
from banyan.engine.comm.roster import Roster
from banyan.engine.config import EngineConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """A checkpoint by what is in it: ``digest`` is over the contents of all its files."""

    name: str
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Communication:
    """``algorithm``: ``auto`` or the name of a collective. ``payload``: what crosses hosts:
    ``exact``, ``bf16`` or ``int8``."""

    algorithm: str = "auto"
    payload: str = "exact"


@dataclass(frozen=True, slots=True, kw_only=True)
class Formation:
    """One group: a copy of the model on its ranks. Rank 0 schedules, samples and answers calls; the
    others follow its step plans. ``micro_batch_tokens``: rows that travel a pipeline at a time."""

    roster: Roster
    layout: Layout
    model: ModelIdentity
    config: EngineConfig
    communication: Communication = Communication()
    micro_batch_tokens: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """What one rank's process is given: its number, its bound listener, the descriptors of its
    host's shared memory (none where it is alone on its host), its host's budget, which stands for
    the one in the formation's config, and rank 0 the socket that calls come by."""

    formation: Formation
    rank: int
    listener_fd: int
    memory_fds: tuple[int, ...] = ()
    budget: Budget = Budget()
    calls_fd: int | None = None
