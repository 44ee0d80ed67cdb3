"""banyan up and banyan serve: the server, whole or its model interface alone."""

from __future__ import annotations

import importlib.util
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from banyan.cli import output
from banyan.cli.cluster import (
    DEFAULT_PORT,
    Algorithm,
    ClusterAddress,
    ClusterPort,
    Copies,
    For,
    HostsPath,
    LayoutName,
    LocalRanks,
    Payload,
    Pp,
    Spread,
    Token,
    Tp,
    WithTls,
    Workers,
    spread,
)
from banyan.cli.models import pull_embedded
from banyan.cli.options import (
    AsJson,
    DeviceMemory,
    Home,
    Host,
    HostMemory,
    KvPrecision,
    Port,
    Threads,
    budget,
    new_context,
    settings,
)
from banyan.cli.session import opened
from banyan.core.errors import InputError
from banyan.core.settings import Settings

if TYPE_CHECKING:
    from banyan.app import App
    from banyan.server.main import Address

WITHOUT_ENGINE = (
    "The extra `engine` (torch) is not installed: no local language model runs. Search, quoted "
    "answers and connected models work.\n→ pip install 'banyan-llm[engine]'"
)


def up(
    host: Host = None,
    port: Port = None,
    pull: Annotated[
        bool, typer.Option("--pull", help="Fetch the embedded models that are missing first.")
    ] = False,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the console in a browser.")
    ] = False,
    model: Annotated[
        str, typer.Option("--model", help="What several machines run; else the packaged model.")
    ] = "",
    hosts: HostsPath = None,
    workers: Workers = 0,
    cluster_address: ClusterAddress = "",
    cluster_port: ClusterPort = DEFAULT_PORT,
    token: Token = "",
    local_ranks: LocalRanks = 1,
    algorithm: Algorithm = "auto",
    payload: Payload = "exact",
    layout: LayoutName = "auto",
    tp: Tp = 0,
    pp: Pp = 0,
    replicas: Copies = 0,
    objective: For = "itl",
    tls: WithTls = False,
    device_memory: DeviceMemory = None,
    host_memory: HostMemory = None,
    kv_precision: KvPrecision = None,
    home: Home = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Serve the API and the console until Ctrl-C, and say what was resolved; with --hosts or
    --workers one model on several machines together."""
    limits = budget(device_memory, host_memory)
    found = settings(
        home, host=host, port=port, threads=threads, kv_precision=kv_precision, **limits
    )
    wanted = Spread(
        hosts=hosts,
        workers=workers,
        address=cluster_address,
        port=cluster_port,
        token=token,
        local_ranks=local_ranks,
        algorithm=algorithm,
        payload=payload,
        layout=layout,
        tp=tp,
        pp=pp,
        replicas=replicas,
        objective=objective,
        tls=tls,
    )
    if model and not wanted.is_wanted:
        raise InputError(
            f"--model {model} says what several machines run, and there is only this one.",
            remedy="Give --workers, --hosts or --local-ranks, or leave --model out.",
        )
    if pull:
        pull_embedded(found, as_json=as_json)
    _warn(found)
    with opened(found) as app:
        app.start_ingest_worker()
        if wanted.is_wanted:  # the console tells how far it is
            spread(app, model or found.chat_model, wanted, wait=False)
        announce = _Announcement(facts=_facts(app), as_json=as_json, open_browser=open_browser)

        def ready(address: Address) -> None:
            announce(address)
            app.warm_up()

        _run(app, ready)


def serve(
    model: Annotated[str, typer.Argument(help="A model's name, or the path of a checkpoint.")],
    host: Host = None,
    port: Port = None,
    hosts: HostsPath = None,
    workers: Workers = 0,
    cluster_address: ClusterAddress = "",
    cluster_port: ClusterPort = DEFAULT_PORT,
    token: Token = "",
    local_ranks: LocalRanks = 1,
    algorithm: Algorithm = "auto",
    payload: Payload = "exact",
    layout: LayoutName = "auto",
    tp: Tp = 0,
    pp: Pp = 0,
    replicas: Copies = 0,
    objective: For = "itl",
    tls: WithTls = False,
    device_memory: DeviceMemory = None,
    host_memory: HostMemory = None,
    kv_precision: KvPrecision = None,
    home: Home = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Serve one model on /v1 alone, as an OpenAI-compatible server; with --hosts or --workers on
    several machines together."""
    limits = budget(device_memory, host_memory)
    found = settings(
        home, host=host, port=port, threads=threads, kv_precision=kv_precision, **limits
    )
    wanted = Spread(
        hosts=hosts,
        workers=workers,
        address=cluster_address,
        port=cluster_port,
        token=token,
        local_ranks=local_ranks,
        algorithm=algorithm,
        payload=payload,
        layout=layout,
        tp=tp,
        pp=pp,
        replicas=replicas,
        objective=objective,
        tls=tls,
    )
    with opened(found) as app:
        if wanted.is_wanted:
            spread(app, model, wanted, wait=True)
        else:
            app.chat_model(model)
        announce = _Announcement(facts=[("model", model)], as_json=as_json, path="/v1")
        _run(app, announce, model=model)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Announcement:
    """Tells where the server listens, once it does."""

    facts: list[tuple[str, str]]
    as_json: bool
    open_browser: bool = False
    path: str = ""

    def __call__(self, address: Address) -> None:
        url = f"{address.url}{self.path}"
        facts = [("address", url), *self.facts]
        if address.new_key:
            facts.append(("key", address.new_key))
        if self.as_json:
            output.emit_line(dict(facts))
        else:
            output.facts(facts)
            if address.new_key:
                output.note("The key is shown this once; `banyan keys add NAME` makes others.")
            output.note("Ctrl-C ends the server.")
        if self.open_browser:
            webbrowser.open(address.url)


def _run(app: App, ready: Callable[[Address], None], *, model: str | None = None) -> None:
    from banyan.server.main import serve as serve_http

    serve_http(app, mode="v1" if model else "all", model=model, ready=ready)


def _facts(app: App) -> list[tuple[str, str]]:
    """What this server has: models, bases, its home."""
    bases = ", ".join(base.id for base in app.library.bases(new_context()))
    names = ", ".join(model.name for model in app.models() if model.kind == "chat")
    return [
        ("models", names or "none"),
        ("answers", app.answer_model or "quoted sentences"),
        ("bases", bases or "none"),
        ("home", str(app.settings.home)),
    ]


def _warn(found: Settings) -> None:
    from banyan.models.catalogue import catalogue
    from banyan.models.store import Store

    if importlib.util.find_spec("torch") is None:
        output.note(WITHOUT_ENGINE)
    here = {model.name for model in Store(found.home).installed()}
    missing = [entry.name for entry in catalogue().values() if entry.default]
    missing = [name for name in missing if name not in here]
    if missing:
        output.note(f"Not here: {', '.join(missing)}.\n→ banyan models pull --embedded")
