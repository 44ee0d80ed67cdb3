"""banyan keys: who may use a server that others can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from banyan.cli import output
from banyan.cli.options import AsJson, Home, settings

if TYPE_CHECKING:
    from pathlib import Path

    from banyan.server.keys import KeyRing

commands = typer.Typer(help="API keys, needed when the server listens beyond this machine.")


def _ring(home: Path | None) -> KeyRing:
    from banyan.server.keys import KeyRing

    return KeyRing(settings(home).home / "keys.json")


@commands.command()
def add(
    name: Annotated[str, typer.Argument(help="Whom or what the key is for.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it; it is kept as a hash and cannot be shown again."""
    secret = _ring(home).add(name)
    if as_json:
        output.emit({"name": name, "key": secret})
    else:
        output.print_text(secret)
        output.note("Shown this once: keep it now.")


@commands.command("list")
def list_keys(home: Home = None, as_json: AsJson = False) -> None:
    """List the keys, not their secrets."""
    made = _ring(home).keys()
    rows = [(key.id, key.name, key.created_at) for key in made]
    if as_json:
        names = ("id", "name", "created_at")
        output.emit({"keys": [dict(zip(names, row, strict=True)) for row in rows]})
    elif rows:
        output.table(["ID", "NAME", "MADE"], rows)
    else:
        output.print_text("There are no keys.")


@commands.command()
def remove(
    key: Annotated[str, typer.Argument(help="The key's id or name.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Forget a key; whoever uses it is out at once."""
    _ring(home).remove(key)
    if as_json:
        output.emit({"removed": key})
    else:
        output.print_text(f"Removed {key}.")
