"""Seat: how a rank's process takes its place in a group: links, its share of the model, a stage.

lead(seat, path)      rank 0: what its engine runs on
follow(seat, path)    every other rank: computes until rank 0 sends no more
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import torch

from banyan.core.cluster import ChoiceStats, LinkStats
from banyan.core.errors import PlanImpossible
from banyan.core.layout import Interval, Layout
from banyan.engine import group_runner
from banyan.engine.batch import Comm, OneRank
from banyan.engine.comm.auto import Auto
from banyan.engine.comm.choose import make_collective
from banyan.engine.comm.collective import Collective
from banyan.engine.comm.group import Group
from banyan.engine.comm.mesh import join_mesh
from banyan.engine.comm.roster import Roster
from banyan.engine.comm.shared import SLOT_BYTES, HostMemory
from banyan.engine.comm.tensors import GroupComm
from banyan.engine.config import EngineConfig, available_cores
from banyan.engine.formation import Formation, Seat
from banyan.engine.group_runner import PLAN
from banyan.engine.kv import Cache, count_pages
from banyan.engine.model import Model, load
from banyan.engine.pulse import Pulse
from banyan.engine.runner import Loaded
from banyan.engine.stage import Place, Stage
from banyan.engine.stream.kv_choice import make_cache

STAGE: Final = "stage"
SPIN_S: Final = 3e-4
"""Longer than a sum of short messages takes, where links are as fast as they are in one rack."""

Report = Callable[[str], None]
Make = Callable[[Group, str, str], Collective]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seated:
    """A rank in its place."""

    group: Group
    model: Model
    kv: Cache
    stage: Stage
    pages: int


def lead(
    seat: Seat, path: Path, report: Report = lambda _: None, pulse: Pulse | None = None
) -> Loaded:
    """Rank 0's place; returns once its own share is loaded. Raises as ``Engine.load``."""
    pulse = pulse or Pulse()
    made: list[Collective] = []

    def make(group: Group, algorithm: str, payload: str) -> Collective:
        made.append(make_collective(group, algorithm, payload))
        return made[-1]

    seated = take(seat, path, report, make, pulse)
    layout = seat.formation.layout
    last = [(rank, layout.share(rank).vocab) for rank in layout.stages[-1].ranks]
    runner = group_runner.GroupRunner(seated.stage, seated.group, last, pulse)
    return Loaded(
        runner=runner,
        pages=seated.pages,
        weights_bytes=seated.model.size_bytes,
        kv_cache_bytes=seated.kv.size_bytes,
        context_length=seated.model.config.context_length,
        links=_links(made, seat.formation),
        choices=_choices(made),
        memory=seated.model.memory,
    )


def _links(made: Sequence[Collective], formation: Formation) -> tuple[LinkStats, ...]:
    """What was measured between the hosts of rank 0's stage, by their numbers in the roster."""
    stage = formation.layout.stages[0].ranks
    numbers = sorted({formation.roster.members[rank].host for rank in stage})
    return tuple(
        LinkStats(hosts=(i, j), latency_s=link.latency_s, bandwidth=link.bandwidth)
        for collective in made
        if isinstance(collective, Auto)
        for i, row in zip(numbers, collective.links, strict=True)
        for j, link in zip(numbers, row, strict=True)
        if i != j or sum(formation.roster.members[rank].host == i for rank in stage) > 1
    )


def _choices(made: Sequence[Collective]) -> tuple[ChoiceStats, ...]:
    return tuple(
        choice
        for collective in made
        if isinstance(collective, Auto)
        for choice in collective.choices()
    )


def follow(
    seat: Seat, path: Path, report: Report = lambda _: None, pulse: Pulse | None = None
) -> None:
    """Another rank's place, until rank 0 closes the group. Raises ``ClusterError`` when it dies.

    ``report`` is told how far its loading is, ``pulse`` how far its steps are.
    """
    seated = take(seat, path, report, pulse=pulse)
    report("ready")
    plan = seated.group.channels[PLAN][0]
    interval: Interval = seat.formation.layout.share(seat.rank).vocab
    try:
        group_runner.follow(seated.stage, plan, interval, pulse)
    finally:
        seated.stage.close()
    seated.group.close()


def take(
    seat: Seat,
    path: Path,
    report: Report,
    make: Make = make_collective,
    pulse: Pulse | None = None,
) -> Seated:
    """Connect with the other ranks, then load this rank's share of the checkpoint at ``path``.

    ``make`` builds the collective that a stage sums with; ``pulse`` counts its sums.
    """
    formation, rank = seat.formation, seat.rank
    layout = formation.layout
    config = _local_config(seat)
    report("connecting")
    group = _connected(seat)
    report("loading")
    vocab = max(share.vocab.end for share in layout.stages[-1].shares)
    model = load(path, config, share=layout.share(rank), vocab=vocab)
    pages = count_pages(model.config, model.dtype, config, _most_layer_heads(layout))
    kv = make_cache(model.config, model.dtype, config, pages, model.kv_way)
    report("measuring")
    comm = _comm(group, formation, rank, make, pulse or Pulse())
    stage = Stage(model, kv, comm, _place(group, formation, rank))
    return Seated(group=group, model=model, kv=kv, stage=stage, pages=pages)


def _local_config(seat: Seat) -> EngineConfig:
    """The formation's config on this rank's device, with its part of the host's cores and within
    the host's budget."""
    formation, budget = seat.formation, seat.budget
    member = formation.roster.members[seat.rank]
    threads = formation.config.threads or max(1, available_cores() // member.sharers)
    return replace(
        formation.config,
        threads=threads,
        device=member.device,
        device_memory=budget.device,
        host_memory=budget.host,
        staging=budget.staging,
    ).resolve()


def _connected(seat: Seat) -> Group:
    formation, rank = seat.formation, seat.rank
    listener = socket.socket(fileno=seat.listener_fd)
    ranks = len(formation.roster.members)
    channels = {
        PLAN: [(0, other) for other in range(1, ranks)],
        STAGE: [(one.ranks[0], next_.ranks[0]) for one, next_ in pairwise(formation.layout.stages)],
    }
    group = join_mesh(formation.roster, rank, listener, _memory(seat), channels=channels)
    if _has_own_core(formation, rank):
        group.spin(SPIN_S)
    return group


def _has_own_core(formation: Formation, rank: int) -> bool:
    """Whether this rank may look for messages instead of sleeping: no other needs its core."""
    sharers = formation.roster.members[rank].sharers
    return sharers * (formation.config.threads or 1) <= available_cores()


def _memory(seat: Seat) -> HostMemory | None:
    if not seat.memory_fds:
        return None
    roster = seat.formation.roster
    local = roster.hosts[roster.members[seat.rank].host]
    return HostMemory(seat.memory_fds[0], local.index(seat.rank), len(local), SLOT_BYTES)


def _comm(group: Group, formation: Formation, rank: int, make: Make, pulse: Pulse) -> Comm:
    layout, roster, communication = formation.layout, formation.roster, formation.communication
    ranks = layout.stages[layout.stage(rank)].ranks
    whole_hosts = all(
        set(local) <= set(ranks) or not set(local) & set(ranks) for local in group.topology.hosts
    )
    if not whole_hosts:
        raise PlanImpossible(
            "A stage of this layout has some ranks of a host and not the others.",
            remedy="Let every stage have whole hosts.",
        )
    if len(ranks) == 1:
        return OneRank()

    def summed(part: Group) -> Comm:
        collective = make(part, communication.algorithm, communication.payload)
        return GroupComm(collective, pulse.move)

    within = group.within(ranks)
    if not _have_own_cards(roster, within.topology.local(rank)):
        return summed(within)
    several = len(within.topology.hosts) > 1 and rank in within.topology.masters
    between = summed(within.within(within.topology.masters)) if several else None
    return _over_cards(within, torch.device(roster.members[rank].device), between)


def _have_own_cards(roster: Roster, ranks: Sequence[int]) -> bool:
    """Whether several ranks of a host have a card each: NCCL refuses two ranks on one card."""
    devices = [roster.members[rank].device for rank in ranks]
    return len(ranks) > 1 and len(set(devices)) == len(devices) and "cpu" not in devices


def _over_cards(group: Group, device: torch.device, between: Comm | None) -> Comm:
    from banyan.engine.comm.cards import CardsComm  # torch.distributed takes a second to import

    return CardsComm(group, device, between)


def _place(group: Group, formation: Formation, rank: int) -> Place:
    layout = formation.layout
    number = layout.stage(rank)
    links = group.channels[STAGE]
    is_first_rank = layout.stages[number].ranks[0] == rank
    before = layout.stages[number - 1].ranks[0] if number > 0 else None
    after = layout.stages[number + 1].ranks[0] if number + 1 < len(layout.stages) else None
    return Place(
        is_first=before is None,
        is_last=after is None,
        micro_batch_tokens=formation.micro_batch_tokens,
        overlaps=_overlaps(formation, rank),
        before=links[before] if is_first_rank and before is not None else None,
        after=links[after] if is_first_rank and after is not None else None,
    )


def _overlaps(formation: Formation, rank: int) -> bool:
    """A card computes a batch faster than halves of it can be told apart: there it does not pay."""
    is_cpu = formation.roster.members[rank].device == "cpu"
    return is_cpu and formation.communication.algorithm == "auto"


def _most_layer_heads(layout: Layout) -> int:
    """Key-value heads over all its layers of the rank that has most of them."""
    return max(
        share.layers.size * len(share.kv_heads) for stage in layout.stages for share in stage.shares
    )
