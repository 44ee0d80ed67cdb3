"""Arrangements: which devices could make up the stages of which replicas, before anything is cut.

Devices form groups that split layers: parts of a host, whole hosts, or several hosts. Groups follow
each other as the stages of a pipeline, and pipelines stand side by side as replicas. All of it is
tried on all hosts, then without the weakest, down to the strongest device alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from banyan.core.layout import DeviceFacts, Facts

Device = tuple[int, int]
"""Number of the host, and of the device on it."""
Group = tuple[Device, ...]
"""Devices that split the same layers."""

MAX_HOST_SETS: Final = 16
MAX_UNEVEN_HOSTS: Final = 5
"""Hosts up to which every way to make stages of them is tried, not only equal ones."""

STRENGTHS: Final[tuple[Callable[[DeviceFacts], float], ...]] = (
    lambda device: device.weight_bandwidth,
    lambda device: device.flops,
    lambda device: device.memory_bytes,
)


@dataclass(frozen=True, slots=True)
class Arrangement:
    """``replicas[i][s]`` is the group of stage s of replica i."""

    replicas: tuple[tuple[Group, ...], ...]

    @property
    def devices(self) -> tuple[Device, ...]:
        return tuple(device for stages in self.replicas for group in stages for device in group)


def arrangements(facts: Facts, *, requests: int) -> Iterator[Arrangement]:
    """Every arrangement worth pricing, each once; no more replicas than requests at a time."""
    met: set[Arrangement] = set()
    for hosts in _host_sets(facts):
        for found in _of_hosts(facts, hosts):
            arrangement = _no_more(facts, found, requests)
            if arrangement not in met:
                met.add(arrangement)
                yield arrangement
    best = Arrangement(((_strongest(facts),),))
    if best not in met:
        yield best


def whole_hosts(facts: Facts) -> Iterator[Arrangement]:
    """Those of one replica on all devices whose stages are made of whole hosts, which is what the
    engine runs."""
    groups = [_all_of(facts, (host,)) for host in range(len(facts.hosts))]
    for stages in _partitions(groups):
        yield Arrangement((stages,))


def on_all_devices(facts: Facts, *, requests: int) -> Iterator[Arrangement]:
    """Those that the engine runs and that leave no device out, each replica on the next ones."""
    everyone = _all_of(facts, range(len(facts.hosts)))
    for arrangement in arrangements(facts, requests=requests):
        if arrangement.devices == everyone and is_run(facts, arrangement):
            yield arrangement


def is_run(facts: Facts, arrangement: Arrangement) -> bool:
    """Whether the engine runs it: each stage has whole hosts, or a replica is one stage of a
    host."""
    return all(
        _is_in_one_host(stages) or all(_has_whole_hosts(facts, group) for group in stages)
        for stages in arrangement.replicas
    )


def _is_in_one_host(stages: tuple[Group, ...]) -> bool:
    return len(stages) == 1 and len({host for host, _ in stages[0]}) == 1


def _has_whole_hosts(facts: Facts, group: Group) -> bool:
    return len(group) == sum(len(facts.hosts[host].devices) for host in {h for h, _ in group})


def _no_more(facts: Facts, found: Arrangement, replicas: int) -> Arrangement:
    """The fastest ``replicas`` of an arrangement."""
    if len(found.replicas) <= replicas:
        return found

    def strength(stages: tuple[Group, ...]) -> float:
        return sum(facts.hosts[h].devices[d].weight_bandwidth for group in stages for h, d in group)

    return Arrangement(tuple(sorted(found.replicas, key=strength, reverse=True)[:replicas]))


def _host_sets(facts: Facts) -> Iterator[tuple[int, ...]]:
    """All hosts, then the strongest ones by each measure of strength."""
    everyone = range(len(facts.hosts))
    met = []
    for strength in STRENGTHS:
        total = [sum(map(strength, host.devices)) for host in facts.hosts]
        order = sorted(everyone, key=lambda host: -total[host])
        for count in _counts(len(order)):
            hosts = tuple(sorted(order[:count]))
            if hosts not in met:
                met.append(hosts)
                yield hosts


def _counts(hosts: int) -> Iterator[int]:
    """How many hosts are taken: every number while there are few, then halves."""
    while hosts > MAX_HOST_SETS:
        yield hosts
        hosts //= 2
    yield from range(hosts, 0, -1)


def _of_hosts(facts: Facts, hosts: Sequence[int]) -> Iterator[Arrangement]:
    for groups in _groupings(facts, hosts):
        for stages in _divisors(len(groups)):
            cuts = range(0, len(groups), stages)
            yield Arrangement(tuple(tuple(groups[cut : cut + stages]) for cut in cuts))
    if len(hosts) <= MAX_UNEVEN_HOSTS:
        for partition in _partitions([_all_of(facts, (host,)) for host in hosts]):
            yield Arrangement((partition,))


def _groupings(facts: Facts, hosts: Sequence[int]) -> Iterator[list[Group]]:
    """Groups of one device, of more devices of a host, of whole hosts, of several hosts."""
    counts = [len(facts.hosts[host].devices) for host in hosts]
    for size in _divisors(min(counts)):
        if not any(count % size for count in counts):
            yield [
                tuple((host, place) for place in range(begin, begin + size))
                for host, count in zip(hosts, counts, strict=True)
                for begin in range(0, count, size)
            ]
    for size in _divisors(len(hosts)):
        yield [_all_of(facts, hosts[i : i + size]) for i in range(0, len(hosts), size)]


def _partitions(groups: Sequence[Group]) -> Iterator[tuple[Group, ...]]:
    """Every way to join neighbouring groups to stages; only all or none where they are many."""
    cuts = len(groups) - 1
    masks = range(1 << cuts) if len(groups) <= MAX_UNEVEN_HOSTS else (0, (1 << cuts) - 1)
    for mask in masks:
        ends = [0, *(i + 1 for i in range(cuts) if mask >> i & 1), len(groups)]
        yield tuple(
            tuple(device for group in groups[begin:end] for device in group)
            for begin, end in pairwise(ends)
        )


def _all_of(facts: Facts, hosts: Sequence[int]) -> Group:
    return tuple((host, place) for host in hosts for place in range(len(facts.hosts[host].devices)))


def _strongest(facts: Facts) -> Group:
    """The device that reads weights fastest."""
    everyone = _all_of(facts, range(len(facts.hosts)))
    return (max(everyone, key=lambda d: facts.hosts[d[0]].devices[d[1]].weight_bandwidth),)


def _divisors(number: int) -> list[int]:
    return [each for each in range(1, number + 1) if number % each == 0]
