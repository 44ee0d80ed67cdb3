"""Cluster: several hosts as one engine. Read this first.

    Cluster         on the head: a Head that hosts join, and the engine that runs on them
      Head          head.py: takes hosts in and deals their ranks to replicas, as choosing.py says
        Lobby       lobby.py: who may come in
        Replica     replica.py: forms the group of one copy, notices who has died
      Replicas      replicas.py: the engine's ports; each request goes to one replica
        ClusterProcess  process.py: calls to one replica's rank 0
    join_head       on every further host: worker.py starts and watches its ranks

``engine/seat.py`` is what a rank does with its place; ``engine/comm/`` is how ranks talk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import cast

from banyan.core.cluster import ClusterStatus, LinkStats
from banyan.core.context import Context
from banyan.core.errors import HostUnreachable, InputError
from banyan.core.layout import ClusterOptions, Facts, LinkFacts, ModelShape, WorkerOptions
from banyan.engine import planning
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.cluster.calibration import own_device
from banyan.engine.cluster.choosing import WORKLOADS, check_layout, layouts_of
from banyan.engine.cluster.head import Head
from banyan.engine.cluster.head_settings import HeadSettings
from banyan.engine.cluster.join_token import kept_token
from banyan.engine.cluster.replicas import Replicas
from banyan.engine.cluster.slice_cache import SliceCache
from banyan.engine.cluster.ssh import RemoteHost
from banyan.engine.cluster.worker import WorkerSettings, join
from banyan.engine.comm.certificate import make_certificate
from banyan.engine.comm.choose import ALGORITHMS, PAYLOADS
from banyan.engine.config import EngineConfig
from banyan.engine.formation import Communication
from banyan.plan.devices import assumptions, with_links
from banyan.plan.hosts import HostSpec
from banyan.plan.matrices import WeightKind
from banyan.plan.weighing import weighed

OnEvent = Callable[[str], None]


class Cluster:
    """A model on this host and those that join it."""

    def __init__(
        self,
        path: Path,
        name: str,
        config: EngineConfig,
        options: ClusterOptions,
        folder: Path,
        on_event: OnEvent,
    ) -> None:
        """Listen and begin to form. Raises ``InputError``, ``HostUnreachable``, and
        ``ClusterError`` where no certificate can be made."""
        _check(options)
        self.token = options.token or kept_token(folder)
        self._name = name
        self._path = path
        self._objective = options.objective
        self._on_event = on_event
        self._remote: list[RemoteHost] = []
        settings = HeadSettings(
            address=options.address,
            port=options.port,
            token=self.token,
            hosts=options.workers,
            names=options.names,
            local_ranks=options.local_ranks,
            device=options.device,
            folder=folder,
            communication=Communication(algorithm=options.algorithm, payload=options.payload),
            step_timeout_s=options.step_timeout_s,
            pem=make_certificate() if options.tls else "",
            measured=own_device(folder, options.device, on_event),
        )
        self._head = Head(settings, partial(layouts_of, options))
        self.engine = Replicas(path, name, config, self._head, on_event)
        self.engine.start()

    @property
    def address(self) -> str:
        """``host:port`` for ``banyan join``."""
        return f"{self._head.settings.address}:{self._head.port}"

    def start_hosts(self, hosts: Sequence[HostSpec]) -> None:
        """Start over ssh those that say how; the others are awaited.

        Raises ``HostUnreachable`` when there is no ssh here.
        """
        for host in hosts:
            if host.ssh:
                self._on_event(f"Starting {host.name} over ssh.")
                self._remote.append(
                    RemoteHost(
                        host,
                        self.address,
                        self.token,
                        self._on_event,
                        self._miss,
                        tls=self._head.settings.pem != "",
                    )
                )

    def _miss(self, error: HostUnreachable) -> None:
        self._on_event(f"{error} {error.remedy}".strip())
        self.engine.blame(error)

    def wait_ready(self, context: Context) -> None:
        """Wait until every replica runs. Raises what keeps one from running."""
        self.engine.wait_ready(context)

    def status(self) -> ClusterStatus:
        """Who is here, how they are, and what the engine has measured."""
        found = replace(self.engine.status(), model=self._name)
        facts = found.facts
        if facts is None:
            return found
        kind = cast("WeightKind", found.precision)  # of replicas that were dealt it is one
        found = replace(found, assumed=assumptions(facts, found.precision))
        if len(found.replicas) > 1:
            return found
        facts = _refined(facts, found.links)
        options = weighed(self._shape, kind, facts, WORKLOADS[self._objective])
        return replace(found, facts=facts, options=options)

    @cached_property
    def _shape(self) -> ModelShape:
        return planned(self._path)[0]

    def close(self) -> None:
        for host in self._remote:
            host.hang_up()
        for host in self._remote:
            host.close()
        self.engine.close()


def join_head(
    options: WorkerOptions,
    find: Callable[[str], Path],
    folder: Path,
    context: Context,
    on_event: OnEvent,
) -> None:
    """Serve a head until ``context`` is cancelled. Raises as ``worker.join`` does."""
    settings = WorkerSettings(
        address=options.address,
        port=options.port,
        token=options.token,
        name=options.name,
        ranks=options.ranks,
        device=options.device,
        slices=SliceCache(folder, options.slice_cache_bytes),
        find=find,
        tls=options.tls,
        measured=own_device(folder, options.device, on_event),
        budget=options.budget,
    )
    join(settings, context, on_event)


def _check(options: ClusterOptions) -> None:
    check_layout(options)
    for what, value, known in (
        ("algorithm", options.algorithm, ALGORITHMS),
        ("payload", options.payload, PAYLOADS),
    ):
        if value not in known:
            raise InputError(f"{value!r} is not a {what}.", remedy=f"Choose {', '.join(known)}.")
    if options.workers < 0 or options.local_ranks < 1:
        raise InputError("A cluster has at least one rank here and no fewer than no workers.")


def planned(path: Path) -> tuple[ModelShape, WeightKind]:
    """The sizes of a checkpoint, and what it is usually computed in. Raises ``CheckpointInvalid``,
    ``UnsupportedModel``."""
    checkpoint = open_checkpoint(path)
    return planning.shape_of(checkpoint), planning.usual_kind(checkpoint)


def _refined(facts: Facts, links: Sequence[LinkStats]) -> Facts:
    """With the links as the ranks have measured them, which is nearer to what a sum meets."""
    found = {
        (link.hosts[0], link.hosts[1]): LinkFacts(
            latency_s=link.latency_s, bandwidth=link.bandwidth, is_measured=True
        )
        for link in links
        if link.hosts[0] != link.hosts[1] or len(facts.hosts[link.hosts[0]].devices) > 1
    }
    return with_links(facts, found)
