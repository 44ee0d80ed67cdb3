"""banyan join, and how up and serve spread a model over hosts."""

from __future__ import annotations

import os
import socket
import sys
import threading
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from banyan.cli import output
from banyan.cli.options import (
    AsJson,
    DeviceMemory,
    Home,
    HostMemory,
    Threads,
    budget,
    new_context,
    one_of,
    settings,
)
from banyan.cli.session import opened
from banyan.core.context import Context
from banyan.core.errors import InputError
from banyan.core.layout import Budget, ClusterOptions, Objective, WorkerOptions
from banyan.plan.hosts import HostsFile, parse_hosts

if TYPE_CHECKING:
    from banyan.app import App

DEFAULT_PORT = 7946
LOOPBACK = "127.0.0.1"
MAX_TOKEN = 1024

HostsPath = Annotated[
    Path | None,
    typer.Option("--hosts", help="File that names the other machines (TOML); see the manual."),
]
Workers = Annotated[
    int,
    typer.Option("--workers", min=0, max=64, help="Machines that will run `banyan join`."),
]
ClusterAddress = Annotated[
    str, typer.Option("--cluster-address", help="Address of this machine for the other ones.")
]
ClusterPort = Annotated[
    int, typer.Option("--cluster-port", min=0, max=65535, help="Port that machines join at.")
]
Token = Annotated[str, typer.Option("--token", help="What machines must know to join.")]
LocalRanks = Annotated[
    int, typer.Option("--local-ranks", min=1, max=64, help="Processes that compute here.")
]
Algorithm = Annotated[
    str,
    typer.Option("--algorithm", help="How ranks sum: auto, exchange, tree, scatter, ring, star."),
]
Payload = Annotated[
    str, typer.Option("--payload", help="What crosses hosts: exact, bf16 or int8 (lossy).")
]
WithTls = Annotated[
    bool, typer.Option("--tls", help="Encrypt what machines say to each other; all need it.")
]
LayoutName = Annotated[
    str, typer.Option("--layout", help="auto, tp (split layers) or pp (layers by host).")
]
Tp = Annotated[
    int, typer.Option("--tp", min=0, help="Ranks that split the same layers; 0: what is left.")
]
Pp = Annotated[
    int, typer.Option("--pp", min=0, help="Stages of layers one after the other; 0: what is left.")
]
Copies = Annotated[
    int,
    typer.Option("--replicas", min=0, help="Copies of the model that share the requests; 0: auto."),
]
For = Annotated[
    str,
    typer.Option(
        "--objective", help="What auto is best for: itl (one answer), ttft (its first), throughput."
    ),
]


_OPTIONS = {"address": "cluster-address", "port": "cluster-port"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What up and serve were told about other machines."""

    hosts: Path | None = None
    workers: int = 0
    address: str = ""
    port: int = DEFAULT_PORT
    token: str = ""
    local_ranks: int = 1
    algorithm: str = "auto"
    payload: str = "exact"
    layout: str = "auto"
    tp: int = 0
    pp: int = 0
    replicas: int = 0
    objective: str = "itl"
    tls: bool = False

    def __post_init__(self) -> None:
        """Refuse what goes with other machines where there are none."""
        idle = [entry.name for entry in fields(self) if getattr(self, entry.name) != entry.default]
        if idle and not self.is_wanted:
            raise InputError(
                f"--{_OPTIONS.get(idle[0], idle[0])} is about several machines, and there is only "
                "this one.",
                remedy="Give --workers, --hosts or --local-ranks, too, or leave it out.",
            )

    @property
    def is_wanted(self) -> bool:
        return self.hosts is not None or self.workers > 0 or self.local_ranks > 1


def spread(app: App, model: str, wanted: Spread, *, wait: bool) -> None:
    """Begin to form the cluster, saying what the other machines have to type; ``wait`` for it.

    Raises ``InputError`` and ``HostUnreachable``, and waiting for it what keeps it from forming.
    """
    file = read_hosts(wanted.hosts) if wanted.hosts else None
    if file and (wanted.workers or wanted.local_ranks > 1):
        raise InputError(
            "--hosts says which machines there are; --workers and --local-ranks do not go with it.",
            remedy="Give each machine a [[host]] in the file, and `ranks` for its processes.",
        )
    head = file.head if file else None
    options = ClusterOptions(
        workers=len(file.hosts) if file else wanted.workers,
        address=wanted.address or (head.address if head else "") or own_address(),
        port=wanted.port,
        token=wanted.token,
        names=tuple(host.name for host in file.hosts) if file else (),
        local_ranks=head.ranks if head else wanted.local_ranks,
        device=head.device if head else "cpu",
        algorithm=wanted.algorithm,
        payload=wanted.payload,
        layout=wanted.layout,
        tp=wanted.tp,
        pp=wanted.pp,
        replicas=wanted.replicas,
        objective=one_of("objective", wanted.objective, get_args(Objective)),
        step_timeout_s=app.settings.step_timeout_s,
        tls=wanted.tls or (file is not None and file.tls),
    )
    cluster = app.spread(model, options, output.note)
    by_hand = sum(not host.ssh for host in file.hosts) if file else wanted.workers
    if by_hand:
        output.note(f"Waiting for {by_hand} machine(s). On each further one:")
        tls = " --tls" if options.tls else ""
        output.note(f"  banyan join {cluster.address} --token {cluster.token}{tls}")
        if options.address == LOOPBACK:
            output.note("  (only processes here reach that: give --cluster-address for others)")
    if file:
        cluster.start_hosts(file.hosts)
    if wait:
        cluster.wait_ready(new_context())
        status = cluster.status()
        output.note(f"{len(status.hosts)} machines run {model} as {status.layout}.")
        for what in status.assumed:
            output.note(f"Assumed for that, not measured: {what}.")


def read_hosts(path: Path) -> HostsFile:
    """The hosts file at ``path``. Raises ``InputError``."""
    try:
        return parse_hosts(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The hosts file {path} cannot be read: {error}.") from None


def own_address() -> str:
    """The address this machine would be reached by; loopback where it has no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # documentation range: nothing is sent
        except OSError:
            return LOOPBACK
        return str(probe.getsockname()[0])


def join(
    head: Annotated[str, typer.Argument(help="HOST:PORT, as the head printed it.")],
    token: Annotated[str, typer.Option("--token", help="The head's token.")] = "",
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Read the token from standard input.")
    ] = False,
    name: Annotated[str, typer.Option("--name", help="This machine's name.")] = "",
    ranks: Annotated[
        int, typer.Option("--ranks", min=1, max=64, help="Processes that compute here.")
    ] = 1,
    device: Annotated[str, typer.Option("--device", help="cpu, or cuda:0 for a card.")] = "cpu",
    tls: Annotated[
        bool, typer.Option("--tls", help="Encrypt everything; a head without TLS is refused.")
    ] = False,
    leave_with_stdin: Annotated[
        bool, typer.Option("--leave-with-stdin", help="Leave when standard input closes.")
    ] = False,
    device_memory: DeviceMemory = None,
    host_memory: HostMemory = None,
    home: Home = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Let this machine compute for a head until Ctrl-C."""
    address, _, port = head.rpartition(":")
    if not address or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(f"{head!r} is not HOST:PORT.", remedy="For example: 10.0.0.1:7946.")
    if token and token_stdin:
        raise InputError("The token was given twice.", remedy="Leave --token or --token-stdin out.")
    token = sys.stdin.readline(MAX_TOKEN).strip() if token_stdin else token
    if not token:
        raise InputError("The token is missing.", remedy="Give --token T as the head printed it.")
    if len(token) >= MAX_TOKEN:
        raise InputError(f"The token is too long: MAX_TOKEN = {MAX_TOKEN}.")
    found = settings(home, threads=threads, **budget(device_memory, host_memory))
    options = WorkerOptions(
        address=address,
        port=int(port),
        token=token,
        name=name or socket.gethostname(),
        ranks=ranks,
        device=device,
        tls=tls,
        slice_cache_bytes=found.slice_cache_bytes,
        budget=Budget(
            device=found.device_memory_bytes,
            host=found.host_memory_bytes,
            staging=str(found.staging),
        ),
    )
    context = new_context()
    if leave_with_stdin:
        threading.Thread(target=_cancel_with_stdin, args=(context,), daemon=True).start()
    with opened(found) as app:
        if not leave_with_stdin:
            output.note("Ctrl-C leaves the cluster.")
        app.join(options, context, _say_json if as_json else output.note)


def _cancel_with_stdin(context: Context) -> None:
    # Not through sys.stdin: a thread that waits in there keeps the interpreter from ending.
    while os.read(sys.stdin.fileno(), MAX_TOKEN):
        pass  # nothing more is expected
    context.cancel.set()


def _say_json(event: str) -> None:
    output.emit_line({"event": event})
