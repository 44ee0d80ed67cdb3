"""Cluster: several hosts as one engine. Read this first.

    Cluster         on the head: a Head that hosts join, and the engine that runs on them
      Head          head.py: forms the group, notices who has died
        Lobby       lobby.py: who may come in
      ClusterProcess  process.py: rank 0's process behind the engine's ports
    join_head       on every further host: worker.py starts and watches its ranks

``engine/seat.py`` is what a rank does with its place; ``engine/comm/`` is how ranks talk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from banyan.core.cluster import ClusterStatus
from banyan.core.context import Context
from banyan.core.errors import HostUnreachable, InputError
from banyan.core.layout import ClusterOptions, Layout, ModelShape, WorkerOptions, Workload
from banyan.engine.checkpoint import open_checkpoint
from banyan.engine.cluster.frames import HostReport
from banyan.engine.cluster.head import Head
from banyan.engine.cluster.head_settings import HeadSettings
from banyan.engine.cluster.join_token import kept_token
from banyan.engine.cluster.process import ClusterProcess
from banyan.engine.cluster.slice_cache import SliceCache
from banyan.engine.cluster.ssh import RemoteHost
from banyan.engine.cluster.worker import WorkerSettings, join
from banyan.engine.comm.certificate import make_certificate
from banyan.engine.comm.choose import ALGORITHMS, PAYLOADS
from banyan.engine.config import EngineConfig
from banyan.engine.formation import Communication
from banyan.plan.devices import Claim, assumed
from banyan.plan.hosts import HostSpec
from banyan.plan.planner import choose_layout
from banyan.plan.shares import pipeline, tensor_parallel

OnEvent = Callable[[str], None]
LAYOUTS = ("auto", "tp", "pp")


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
        )
        self._head = Head(settings, lambda shape, hosts: _layout(options.layout, shape, hosts))
        self.engine = ClusterProcess(path, config, self._head, name=name, on_event=on_event)
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
        """Wait until the model runs. Raises what keeps it from running."""
        self.engine.wait_ready(context)

    def status(self) -> ClusterStatus:
        """Who is here, how they are, and what the engine has measured."""
        found, stats = replace(self._head.status(), model=self._name), self.engine.stats
        if stats is None:
            return found
        return replace(
            found,
            prefill_tokens_per_s=stats.prefill_tokens_per_s,
            decode_tokens_per_s=stats.decode_tokens_per_s,
            prefilled_tokens=stats.prefilled_tokens,
            decoded_tokens=stats.decoded_tokens,
            running=stats.running,
            waiting=stats.waiting,
            links=stats.links,
            choices=stats.choices,
        )

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
    )
    join(settings, context, on_event)


def _check(options: ClusterOptions) -> None:
    for what, value, known in (
        ("layout", options.layout, LAYOUTS),
        ("algorithm", options.algorithm, ALGORITHMS),
        ("payload", options.payload, PAYLOADS),
    ):
        if value not in known:
            raise InputError(f"{value!r} is not a {what}.", remedy=f"Choose {', '.join(known)}.")
    if options.workers < 0 or options.local_ranks < 1:
        raise InputError("A cluster has at least one rank here and no fewer than no workers.")


def shape_of(path: Path) -> ModelShape:
    """The sizes of a checkpoint. Raises ``CheckpointInvalid``, ``UnsupportedModel``."""
    return open_checkpoint(path).config.shape


def _layout(name: str, shape: ModelShape, hosts: Sequence[HostReport]) -> Layout:
    """The layout that was asked for; ``auto`` is the planner's for the time between tokens, from
    what the hosts say of themselves and the cards of their devices."""
    speeds = [[host.cores / host.ranks] * host.ranks for host in hosts]
    if name == "pp":
        return pipeline(shape, speeds)
    if name == "tp" or len(hosts) == 1:
        return tensor_parallel(shape, [speed for host in speeds for speed in host])
    facts = assumed(
        [Claim(host.name, host.device, host.ranks, host.cores, host.memory_bytes) for host in hosts]
    )
    return choose_layout(shape, "bf16", facts, Workload(concurrency=1, objective="itl"))
