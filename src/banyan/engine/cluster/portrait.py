"""Portrait: the status of a head: its hosts with their ranks, and its replicas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import psutil

from banyan.core.cluster import ClusterStatus, HostStatus, RankStatus, ReplicaStatus
from banyan.engine.cluster.frames import HostReport, RankVitals
from banyan.engine.cluster.group import RunningGroup
from banyan.engine.cluster.head_settings import HeadSettings
from banyan.engine.cluster.lobby import Guest
from banyan.engine.cluster.replica import Replica


def portrait(
    settings: HeadSettings,
    report: HostReport,
    address: str,
    missing: tuple[str, ...],
    guests: Sequence[Guest],
    replicas: Sequence[Replica],
) -> ClusterStatus:
    """Who is here and how they are, and who is ``missing``; ``report`` is of the head's own host,
    ``address`` where others join it."""
    groups = [replica.group for replica in replicas]
    hosts = [None, *guests]
    found = tuple(
        ReplicaStatus(
            state=replica.state,
            cause=replica.cause,
            layout="" if group is None else group.formation.layout.name,
            hosts=_numbers(group, hosts),
        )
        for replica, group in zip(replicas, groups, strict=True)
    )
    return ClusterStatus(
        state=_state([each.state for each in found]),
        cause=" ".join(each.cause for each in found if each.cause),
        address=address,
        missing=missing,
        expected_hosts=settings.hosts + 1,
        hosts=tuple(_host(host, report, settings, groups) for host in hosts),
        layout=_layout([each.layout for each in found]),
        replicas=found,
        algorithm=settings.communication.algorithm,
        payload=settings.communication.payload,
        tls=bool(settings.pem),
    )


def _numbers(group: RunningGroup | None, hosts: Sequence[Guest | None]) -> tuple[int, ...]:
    """Where its hosts stand among ``hosts``, in its roster's order; empty when one has gone."""
    if group is None or not set(group.hosts) <= set(hosts):
        return ()
    return tuple(hosts.index(host) for host in group.hosts)


def _state(states: Sequence[str]) -> str:
    """One replica that runs is enough to answer."""
    known = ("ready", "forming", "down")
    return next((state for state in known if state in states), "forming")


def _layout(names: Sequence[str]) -> str:
    """``tp2``, or for several ``2 replicas x tp2``; empty while none has one."""
    known = [name for name in names if name]
    if len(names) < 2 or not known:
        return "".join(known)
    parts = [f"{len(names)} replicas", *dict.fromkeys(name for name in known if name != "one rank")]
    return " x ".join(parts)


def _host(
    guest: Guest | None,
    report: HostReport,
    settings: HeadSettings,
    groups: Sequence[RunningGroup | None],
) -> HostStatus:
    """A host with its ranks of all groups; ``guest`` None: the head's own."""
    found = report if guest is None else guest.report
    used = psutil.virtual_memory().used if guest is None else guest.beat.memory_used_bytes
    return HostStatus(
        name=found.name,
        address=settings.address if guest is None else guest.address,
        cores=found.cores,
        memory_bytes=found.memory_bytes,
        memory_used_bytes=int(used),
        silence_s=0.0 if guest is None else guest.conversation.silence_s,
        ranks=tuple(
            rank
            for number, group in enumerate(groups)
            if group is not None
            for rank in _ranks(group, number, guest)
        ),
    )


def _ranks(group: RunningGroup, number: int, guest: Guest | None) -> Iterator[RankStatus]:
    vitals: Sequence[RankVitals] = group.local.vitals
    if guest is not None:
        vitals = [one for one in guest.beat.ranks if one.group == group.id]
    held = {one.rank: one.rss_bytes for one in vitals}
    for member in group.of_host(guest):
        state = group.states.get(member.rank)
        yield RankStatus(
            rank=member.rank,
            state="" if state is None else state.state,
            device=member.device,
            rss_bytes=held.get(member.rank, 0),
            share=group.formation.layout.share(member.rank),
            pid=0 if state is None else state.pid,
            replica=number,
        )
