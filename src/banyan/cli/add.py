"""banyan add: files and folders become part of a knowledge base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from banyan.cli import output
from banyan.cli.options import AsJson, Base, Home, Threads, new_context, settings
from banyan.cli.progress import drawn
from banyan.cli.session import DEFAULT_BASE, opened, own_base
from banyan.core.errors import DocumentError, NotFound
from banyan.core.events import DocumentAdded, to_json

DEFAULT_TITLE = "My documents"


def add(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders; folders are walked.")],
    base: Base = "",
    home: Home = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Add documents to a knowledge base (made when missing). Unchanged files are passed over.

    A file that cannot be read is reported and does not stop the others; the exit code is 5 when
    no file at all could be added.
    """
    for path in paths:
        if not path.exists():
            raise NotFound(f"There is no file or folder {path}.")
    with opened(settings(home, threads=threads)) as app:
        context = new_context()
        known = [entry.id for entry in app.library.bases(context)]
        base = base or own_base(known) or DEFAULT_BASE
        if base not in known:
            title = DEFAULT_TITLE if base == DEFAULT_BASE else base
            app.library.create_base(base, title, context)
        ended: list[DocumentAdded] = []
        for event in drawn(app.library.add(paths, base, context)):
            if isinstance(event, DocumentAdded):
                ended.append(event)
                _show(event, as_json)
        _summarise(ended, base, as_json)


def _show(event: DocumentAdded, as_json: bool) -> None:
    if as_json:
        output.emit_line(to_json(event))
    elif event.status == "failed":
        output.print_text(output.safe(f"failed     {event.path}: {event.reason}"))
    else:
        detail = f"{event.chunks} passages, {event.seconds:.1f} s"
        detail = detail if event.status == "ready" else "as before"
        output.print_text(output.safe(f"{event.status:<9}  {event.path} ({detail})"))


def _summarise(ended: list[DocumentAdded], base: str, as_json: bool) -> None:
    failed = sum(event.status == "failed" for event in ended)
    if not as_json:
        added = sum(event.status == "ready" for event in ended)
        same = len(ended) - added - failed
        output.print_text(f"{base}: {added} added, {same} unchanged, {failed} failed")
    if ended and failed == len(ended):
        raise DocumentError("No file could be added.", remedy="The reasons are above.")
