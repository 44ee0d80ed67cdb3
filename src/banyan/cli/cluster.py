"""banyan join, banyan cluster status, and how up and serve spread a model over hosts."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from banyan.cli import output
from banyan.cli.options import AsJson, Home, Threads, new_context, settings
from banyan.cli.session import opened
from banyan.core.errors import HostUnreachable, InputError, RemoteModelFailed, Unauthenticated
from banyan.core.layout import ClusterOptions, WorkerOptions
from banyan.plan.hosts import HostsFile, parse_hosts

if TYPE_CHECKING:
    from banyan.app import App

DEFAULT_PORT = 7946
STATUS_TIMEOUT_S = 5.0

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
LayoutName = Annotated[
    str, typer.Option("--layout", help="auto, tp (split layers) or pp (layers by host).")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What up and serve were told about other machines."""

    hosts: Path | None
    workers: int
    address: str
    port: int
    token: str
    local_ranks: int
    algorithm: str
    payload: str
    layout: str

    @property
    def is_wanted(self) -> bool:
        return self.hosts is not None or self.workers > 0 or self.local_ranks > 1


def spread(app: App, model: str, wanted: Spread) -> None:
    """Form the cluster, saying who joins and what the others have to type, and wait for it."""
    file = read_hosts(wanted.hosts) if wanted.hosts else None
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
        step_timeout_s=app.settings.step_timeout_s,
    )
    cluster = app.spread(model, options, output.note)
    if options.workers:
        output.note(f"Waiting for {options.workers} machine(s). On each further one:")
        output.note(f"  banyan join {cluster.address} --token {cluster.token}")
    if file:
        cluster.start_hosts(file.hosts)
    cluster.wait_ready(new_context())
    status = cluster.status()
    output.note(f"{len(status.hosts)} machines run {model} as {status.layout}.")


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
            return "127.0.0.1"
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
    home: Home = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Let this machine compute for a head until Ctrl-C."""
    address, _, port = head.rpartition(":")
    if not address or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"{head!r} is not HOST:PORT.", remedy="For example: 10.0.0.1:7946.")
    token = sys.stdin.readline().strip() if token_stdin else token
    if not token:
        raise InputError("The token is missing.", remedy="Give --token T as the head printed it.")
    options = WorkerOptions(
        address=address,
        port=int(port),
        token=token,
        name=name or socket.gethostname(),
        ranks=ranks,
        device=device,
    )
    context = new_context()
    with opened(settings(home, threads=threads)) as app:
        output.note("Ctrl-C leaves the cluster.")
        app.join(options, context, _say_json if as_json else output.note)


def _say_json(event: str) -> None:
    output.emit_line({"event": event})


commands = typer.Typer(no_args_is_help=True, help="The machines that run one model together.")


@commands.command()
def status(
    url: Annotated[
        str, typer.Option("--url", help="Address of the server (the head).")
    ] = "http://127.0.0.1:8080",
    key: Annotated[str, typer.Option("--key", help="API key, where the server needs one.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show who is in the cluster, how the links are, and what was picked."""
    found = _asked(url, key)
    if as_json:
        output.emit(found)
        return
    if not found["cluster"]:
        output.print_text("This server runs its model on one machine.")
        return
    _show(found["cluster"])


def _asked(url: str, key: str) -> dict[str, Any]:
    import httpx

    headers = {"authorization": f"Bearer {key}"} if key else {}
    address = url.rstrip("/").removesuffix("/v1") + "/api/cluster"
    try:
        answer = httpx.get(address, headers=headers, timeout=STATUS_TIMEOUT_S)
    except httpx.HTTPError as error:
        raise HostUnreachable(
            f"No server answers at {url}: {error}.", remedy="Give its address with --url."
        ) from None
    if answer.status_code in (401, 403):
        raise Unauthenticated("The server wants a key.", remedy="Give one with --key.")
    if answer.status_code != 200:
        raise RemoteModelFailed(f"The server at {url} answered {answer.status_code}.")
    return dict(answer.json())


def _show(cluster: dict[str, Any]) -> None:
    output.facts(
        [
            ("state", cluster["state"]),
            ("cause", cluster["cause"]),
            ("layout", cluster["layout"]),
            ("sums by", cluster["algorithm"]),
            ("across hosts", cluster["payload"]),
            ("writes", f"{cluster['decode_tokens_per_s']:.1f} tokens/s"),
        ]
    )
    headers = ("host", "address", "ranks", "memory", "of", "heard")
    rows = [
        (
            host["name"],
            host["address"],
            " ".join(f"{rank['rank']}:{rank['state'] or 'here'}" for rank in host["ranks"]),
            output.size(sum(rank["rss_bytes"] for rank in host["ranks"])),
            output.size(host["memory_bytes"]),
            f"{host['silence_s']:.1f} s ago",
        )
        for host in cluster["hosts"]
    ]
    output.table(headers, rows)
    if cluster["links"]:
        links = [
            (
                " - ".join(map(str, link["hosts"])),
                f"{link['latency_s'] * 1e6:.0f} us",
                f"{link['bandwidth'] * 8 / 1e6:.0f} Mbit/s",
            )
            for link in cluster["links"]
        ]
        output.table(("link", "latency", "bandwidth"), links)
    if cluster["choices"]:
        choices = [
            (
                output.size(choice["size_bytes"]),
                choice["algorithm"],
                f"{choice['measured_s'] * 1e3:.2f} ms",
                f"{choice['predicted_s'] * 1e3:.2f} ms",
            )
            for choice in cluster["choices"]
        ]
        output.table(("message", "picked", "measured", "predicted"), choices)
