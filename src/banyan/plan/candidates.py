"""Candidates: arrangements with their shares cut, their memory counted and their steps priced.

Replicas that are alike are priced once. Unlike ones share the requests in proportion to their
speed, as far as their memory goes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from banyan.core.errors import PlanImpossible
from banyan.core.layout import Facts, Layout, ModelShape, Objective, Workload
from banyan.plan.arrangements import Arrangement, Group, is_run
from banyan.plan.balance import STEP_ROWS, Load, balanced, limit, water_fill
from banyan.plan.cost import Machines, Price, decode, prefill
from banyan.plan.matrices import WeightKind
from banyan.plan.sizes import Need, layer_bytes

STREAM_WINDOW: Final = 2
"""Layers that a rank which streams holds beside those that stay: one in use, one on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankNeed:
    """What one rank would hold, and how much it may."""

    host: str
    device: str
    need: Need
    limit: int

    @property
    def excess(self) -> int:
        """Bytes over the limit; below 0 is room."""
        return self.need.total - self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One copy of the model. ``ttft``: the first token of one prompt on an idle replica; ``itl``:
    one token for each of ``sequences``; ``work``: all their prompts and all their tokens."""

    layout: Layout
    ranks: tuple[RankNeed, ...]
    sequences: int
    ttft: Price
    itl: Price
    work: Price

    @property
    def fits(self) -> bool:
        return all(rank.excess <= 0 for rank in self.ranks)

    @property
    def sequences_per_s(self) -> float:
        return self.sequences / self.work.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A layout on some of the machines, priced for the workload. ``layout`` is the first replica's;
    ``is_run`` says whether the engine can run it, ``cause`` in a few words why it was not chosen,
    ``reason`` in numbers."""

    arrangement: Arrangement
    layout: Layout
    hosts: tuple[str, ...]
    replicas: tuple[Replica, ...]
    tokens_per_s: float
    is_run: bool
    cause: str = ""
    reason: str = ""

    @property
    def name(self) -> str:
        return f"{self.layout.name}, streamed" if self.is_streamed else self.layout.name

    @property
    def ranks(self) -> tuple[RankNeed, ...]:
        """Those of all replicas."""
        return tuple(rank for each in self.replicas for rank in each.ranks)

    @property
    def tightest(self) -> RankNeed:
        """The rank that comes nearest to its limit, or passes it furthest."""
        return max(self.ranks, key=lambda rank: rank.need.total / rank.limit)

    @property
    def fits(self) -> bool:
        return all(each.fits for each in self.replicas)

    @property
    def is_streamed(self) -> bool:
        return any(rank.need.streamed for rank in self.ranks)

    @property
    def ttft(self) -> Price:
        """Of the slowest replica, as the others are."""
        return max((each.ttft for each in self.replicas), key=_seconds)

    @property
    def itl(self) -> Price:
        return max((each.itl for each in self.replicas), key=_seconds)

    @property
    def work(self) -> Price:
        return max((each.work for each in self.replicas), key=_seconds)

    def price(self, objective: Objective) -> Price:
        """What the objective is about."""
        return {"throughput": self.work, "ttft": self.ttft, "itl": self.itl}[objective]

    def score(self, objective: Objective) -> tuple[float, int]:
        """Lower is better; among equals, fewer devices."""
        return self.price(objective).seconds, len(self.arrangement.devices)


class Pricer:
    """Makes candidates of arrangements, for one model, precision, set of machines and workload."""

    def __init__(
        self, shape: ModelShape, kind: WeightKind, facts: Facts, workload: Workload
    ) -> None:
        self._shape = shape
        self._kind = kind
        self._facts = facts
        self._workload = workload
        self._known: dict[Hashable, Replica] = {}

    def candidates(self, arrangement: Arrangement, *, streams: bool = False) -> Iterator[Candidate]:
        """The arrangement with its layers dealt for an even pace; where stages are unlike, also
        with the fastest filled first. None where the model has too few parts for it."""
        met: list[Layout] = []
        for fastest_first in (False, True):
            try:
                found = self._candidate(arrangement, fastest_first=fastest_first, streams=streams)
            except PlanImpossible:
                return
            if found.layout not in met:
                met.append(found.layout)
                yield found
            if len(arrangement.replicas[0]) == 1:
                return

    def _candidate(
        self, arrangement: Arrangement, *, fastest_first: bool, streams: bool
    ) -> Candidate:
        def priced(stages: Sequence[Group], sequences: int) -> Replica:
            key = (self._kind_of(stages), sequences, fastest_first, streams)
            if key not in self._known:
                self._known[key] = self._replica(stages, sequences, key[2:])
            return self._known[key]

        copies = arrangement.replicas
        equal = -(-self._workload.concurrency // len(copies))
        replicas = [priced(stages, equal) for stages in copies]
        if any(each is not replicas[0] for each in replicas):
            counts = _divided(self._workload.concurrency, replicas)
            replicas = [priced(stages, count) for stages, count in zip(copies, counts, strict=True)]
        made = self._workload.concurrency * self._workload.generate
        hosts = dict.fromkeys(self._facts.hosts[host].name for host, _ in arrangement.devices)
        return Candidate(
            arrangement=arrangement,
            layout=replace(replicas[0].layout, replicas=len(copies)),
            hosts=tuple(hosts),
            replicas=tuple(
                self._named(each, stages) for each, stages in zip(replicas, copies, strict=True)
            ),
            tokens_per_s=made / max(each.work.seconds for each in replicas),
            is_run=not streams and is_run(self._facts, arrangement),
        )

    def _replica(
        self, stages: Sequence[Group], sequences: int, modes: tuple[bool, bool]
    ) -> Replica:
        fastest_first, streams = modes
        machines = Machines(self._facts, [device for group in stages for device in group])
        load = Load(
            shape=self._shape, kind=self._kind, workload=self._workload, sequences=sequences
        )
        layout = balanced(load, machines, stages, fastest_first=fastest_first)
        ranks = tuple(
            self._rank(load, machines, layout, rank, streams=streams)
            for rank in range(layout.ranks)
        )
        streamed = {i: rank.need.streamed for i, rank in enumerate(ranks) if rank.need.streamed}
        what = (self._shape, self._kind, layout, machines)
        prompt, generate = self._workload.prompt, self._workload.generate
        itl = decode(*what, context=load.tokens, batch=sequences, streamed=streamed)
        first, every = (
            prefill(*what, prompt=prompt, batch=batch, step_rows=STEP_ROWS, streamed=streamed)
            for batch in (1, sequences)
        )
        return Replica(
            layout=layout,
            ranks=ranks,
            sequences=sequences,
            ttft=first,
            itl=itl,
            work=every + itl.times(generate),
        )

    def _rank(
        self, load: Load, machines: Machines, layout: Layout, rank: int, *, streams: bool
    ) -> RankNeed:
        share, most = layout.share(rank), limit(machines, rank)
        need = load.need(share)
        if streams and need.total > most:
            window = STREAM_WINDOW * layer_bytes(self._shape, share, self._kind)
            resident = most - need.kv - need.activations - window
            if resident >= 0:
                streamed = need.weights - resident
                need = replace(need, weights=resident + window, streamed=streamed)
        host, _ = machines.ranks[rank]
        return RankNeed(
            host=self._facts.hosts[host].name,
            device=machines.device(rank).name or machines.device(rank).kind,
            need=need,
            limit=most,
        )

    def _named(self, replica: Replica, stages: Sequence[Group]) -> Replica:
        """One that was priced for other devices of the same kind, with the names of its own."""
        hosts = [self._facts.hosts[host].name for group in stages for host, _ in group]
        if all(rank.host == host for rank, host in zip(replica.ranks, hosts, strict=True)):
            return replica
        ranks = zip(replica.ranks, hosts, strict=True)
        return replace(replica, ranks=tuple(replace(rank, host=host) for rank, host in ranks))

    def _kind_of(self, stages: Sequence[Group]) -> Hashable:
        """What replicas must have in common to be alike: devices, and the links between them."""
        hosts = list(dict.fromkeys(host for group in stages for host, _ in group))
        facts = self._facts
        devices = tuple(
            tuple((hosts.index(h), facts.hosts[h].devices[d]) for h, d in group) for group in stages
        )
        links = tuple(
            facts.hosts[i].local if i == j else facts.links[i][j] for i in hosts for j in hosts
        )
        return devices, links


def _divided(requests: int, replicas: Sequence[Replica]) -> list[int]:
    """Requests for each replica, by speed and as far as each has room; at least one."""
    rooms = [_room(each) for each in replicas]
    speeds = [each.sequences_per_s for each in replicas]
    parts = water_fill(requests, speeds, rooms)
    counts = [max(1, int(part)) for part in parts]
    while sum(counts) != requests and (sum(counts) < requests or max(counts) > 1):
        step = 1 if sum(counts) < requests else -1
        movable = [i for i, count in enumerate(counts) if step > 0 or count > 1]
        chosen = max(movable, key=lambda i: step * (parts[i] - counts[i]))
        counts[chosen] += step
    return counts


def _room(replica: Replica) -> float:
    """Requests at a time that a replica has memory for."""
    each = [
        replica.sequences - rank.excess * replica.sequences / rank.need.kv for rank in replica.ranks
    ]
    return max(1.0, min(each))


def _seconds(price: Price) -> float:
    return price.seconds
