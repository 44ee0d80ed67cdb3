"""banyan cluster status: who computes together, how the links are, and what was picked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from time import sleep as pause
from typing import Annotated

import typer

from banyan.cli import output
from banyan.cli.options import AsJson
from banyan.core.cluster import ChoiceStats, ClusterStatus, LinkStats
from banyan.core.errors import HostUnreachable, RemoteModelFailed, Unauthenticated
from banyan.core.layout import from_json

TIMEOUT_S = 5.0
WATCH_S = 2.0
MAX_BODY_BYTES = 4 << 20

commands = typer.Typer(no_args_is_help=True, help="The machines that run one model together.")


@commands.command()
def status(
    url: Annotated[
        str, typer.Option("--url", help="Address of the server (the head).")
    ] = "http://127.0.0.1:8080",
    key: Annotated[str, typer.Option("--key", help="API key, where the server needs one.")] = "",
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every two seconds until Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show who is in the cluster, how the links are, and what was picked."""
    while True:
        found = _asked(url, key)
        if watch and not as_json:
            output.clear()
        if as_json:
            emit = output.emit_line if watch else output.emit
            emit({"cluster": found})
        elif found is None:
            output.print_text("This server runs its model on one machine.")
        else:
            _show(found)
        if not watch:
            return
        pause(WATCH_S)


def _fetched(url: str, key: str) -> bytes:
    """What the server says.

    Raises ``HostUnreachable``, ``Unauthenticated`` and ``RemoteModelFailed``.
    """
    import httpx

    headers = {"authorization": f"Bearer {key}"} if key else {}
    address = url.rstrip("/").removesuffix("/v1") + "/api/cluster"
    body = b""
    try:
        with httpx.stream("GET", address, headers=headers, timeout=TIMEOUT_S) as answer:
            for part in answer.iter_bytes():
                body += part
                if len(body) > MAX_BODY_BYTES:
                    raise RemoteModelFailed(f"{url} sends more than {MAX_BODY_BYTES} bytes.")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise HostUnreachable(
            f"No server answers at {url}: {error}.", remedy="Give its address with --url."
        ) from None
    if answer.status_code in (401, 403):
        raise Unauthenticated("The server wants a key.", remedy="Give one with --key.")
    if answer.status_code != 200:
        raise RemoteModelFailed(f"The server at {url} answered {answer.status_code}.")
    return body


def _asked(url: str, key: str) -> ClusterStatus | None:
    """What it says, read. Raises as ``_fetched``."""
    body = _fetched(url, key)
    try:
        found = json.loads(body)["cluster"]
        return None if found is None else from_json(ClusterStatus, found)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RemoteModelFailed(
            f"What {url} says of its cluster cannot be read: {error}",
            remedy="Is it a Banyan server of this version?",
        ) from None


def _show(found: ClusterStatus) -> None:
    here = len(found.hosts)
    output.facts(
        [
            ("state", found.state),
            ("cause", found.cause),
            ("model", found.model),
            ("machines", f"{here} of {found.expected_hosts}"),
            ("waits for", ", ".join(found.missing)),
            ("precision", found.precision),
            ("layout", found.layout),
            ("assumed", "; ".join(found.assumed)),
            ("sums by", found.algorithm),
            ("across hosts", found.payload + (", encrypted" if found.tls else "")),
            ("writes", _rate(found.decode_tokens_per_s)),
            ("reads", _rate(found.prefill_tokens_per_s)),
            ("requests", f"{found.running} running, {found.waiting} waiting"),
        ]
    )
    if here < found.expected_hosts:
        output.print_text("On each further machine, with the token that the head printed:")
        tls = " --tls" if found.tls else ""
        output.print_text(f"  banyan join {found.address} --token TOKEN{tls}")
    for headers, rows in _tables(found):
        if rows:
            output.print_text()
            output.table(headers, rows)


def _rate(tokens_per_s: float) -> str:
    return f"{tokens_per_s:.1f} tokens/s" if tokens_per_s else ""


Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def _tables(found: ClusterStatus) -> Iterator[Table]:
    yield _hosts(found)
    if len(found.replicas) > 1:
        yield _replicas(found)
    yield _ranks(found)
    yield _options(found)
    yield _links(found)
    yield (
        ("message", "picked", "measured", "predicted", "the next best"),
        [_choice(choice) for choice in found.choices],
    )


def _hosts(found: ClusterStatus) -> Table:
    return (
        ("host", "address", "cores", "ranks hold", "all hold", "of", "heard"),
        [
            (
                host.name,
                host.address,
                str(host.cores),
                output.size(sum(rank.rss_bytes for rank in host.ranks)),
                output.size(host.memory_used_bytes),
                output.size(host.memory_bytes),
                f"{host.silence_s:.1f} s ago",
            )
            for host in found.hosts
        ],
    )


def _ranks(found: ClusterStatus) -> Table:
    return (
        ("rank", "host", "device", "state", "holds", "layers", "heads", "columns"),
        [
            (
                f"{rank.replica}.{rank.rank}" if len(found.replicas) > 1 else str(rank.rank),
                host.name,
                rank.device,
                rank.state,
                output.size(rank.rss_bytes),
                f"{rank.share.layers.begin}-{rank.share.layers.end - 1}",
                str(rank.share.heads.size),
                str(rank.share.ffn.size),
            )
            for host in found.hosts
            for rank in host.ranks
        ],
    )


def _options(found: ClusterStatus) -> Table:
    return (
        ("could run as", "layers", "first token", "per token", "because"),
        [
            (
                option.name,
                "+".join(map(str, option.layers)),
                f"{option.ttft_s:.3f} s",
                f"{option.itl_s * 1e3:.1f} ms",
                option.reason or "the best, by what was measured",
            )
            for option in found.options
        ],
    )


def _links(found: ClusterStatus) -> Table:
    return (
        ("link", "latency", "bandwidth"),
        [
            (
                " - ".join(_host_name(found, number) for number in dict.fromkeys(link.hosts)),
                f"{link.latency_s * 1e6:.0f} us",
                f"{link.bandwidth * 8 / 1e6:.0f} Mbit/s",
            )
            for link in found.links
            if not _is_within_one_rank(found, link)
        ],
    )


def _is_within_one_rank(found: ClusterStatus, link: LinkStats) -> bool:
    """A host of one rank has no link within it."""
    number = link.hosts[0]
    return link.hosts[-1] == number < len(found.hosts) and len(found.hosts[number].ranks) < 2


def _replicas(found: ClusterStatus) -> Table:
    headers = ("replica", "state", "hosts", "layout", "requests", "tokens left", "writes")
    return headers, [
        (
            str(number),
            each.state,
            ", ".join(_host_name(found, host) for host in each.hosts),
            each.layout,
            f"{each.running} running, {each.waiting} waiting",
            str(each.outstanding_tokens),
            _rate(each.decode_tokens_per_s),
        )
        for number, each in enumerate(found.replicas)
    ]


def _host_name(found: ClusterStatus, number: int) -> str:
    return found.hosts[number].name if 0 <= number < len(found.hosts) else str(number)


def _choice(choice: ChoiceStats) -> tuple[str, ...]:
    following = choice.others[0] if choice.others else None
    return (
        output.size(choice.size_bytes),
        choice.algorithm,
        f"{choice.measured_s * 1e3:.2f} ms",
        f"{choice.predicted_s * 1e3:.2f} ms" if choice.predicted_s else "",
        f"{following.algorithm} {following.measured_s * 1e3:.2f} ms" if following else "",
    )
