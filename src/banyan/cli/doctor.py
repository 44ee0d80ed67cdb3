"""banyan doctor: the machine and the installation, and the command that mends each fault."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated

import typer

from banyan.cli import output
from banyan.cli.options import AsJson, Home, Host, Port, settings
from banyan.core.settings import Settings, table

_MARKS = {"ok": ("✓", "green"), "note": ("•", "yellow"), "broken": ("✗", "bold red")}


def doctor(
    show_settings: Annotated[
        bool, typer.Option("--settings", help="Print every setting and its value instead.")
    ] = False,
    home: Home = None,
    host: Host = None,
    port: Port = None,
    as_json: AsJson = False,
) -> None:
    """Look at this machine and this installation; the exit code is 1 when something is broken."""
    found = settings(home, host=host, port=port)
    if show_settings:
        _show_settings(found, as_json)
        return
    from banyan.cli.checks import checks
    from banyan.models.machine import machine_facts

    facts = machine_facts(found.home)
    seen = list(checks(facts, found))
    if as_json:
        output.emit({"machine": facts, "checks": seen})
    else:
        width = max(len(check.name) for check in seen)
        for check in seen:
            mark, style = _MARKS[check.state]
            output.styled(f"{mark} {check.name:<{width}}  {check.detail}", style)
            if check.mend:
                output.print_text(f"  {'':<{width}}  → {output.safe(check.mend)}")
    if any(check.state == "broken" for check in seen):
        raise typer.Exit(1)


def _show_settings(found: Settings, as_json: bool) -> None:
    names = [entry.name for entry in fields(Settings)]
    rows = [
        (variable, getattr(found, name), default, text)
        for name, (variable, default, text) in zip(names, table(), strict=True)
    ]
    if as_json:
        keys = ("name", "value", "default", "help")
        output.emit({"settings": [dict(zip(keys, row, strict=True)) for row in rows]})
    else:
        output.table(["SETTING", "VALUE", "DEFAULT", "WHAT IT IS"], rows)
