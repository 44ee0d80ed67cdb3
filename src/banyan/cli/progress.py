"""Progress on a terminal's stderr; nothing of it where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from banyan.cli.output import safe
from banyan.core.events import Progress

Item = TypeVar("Item")


def drawn(events: Iterable[Item | Progress]) -> Iterator[Item]:
    """Draw the ``Progress`` events and pass the others on."""
    if not sys.stderr.isatty():
        yield from (event for event in events if not isinstance(event, Progress))
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None)
        for event in events:
            if isinstance(event, Progress):
                text = safe(f"{event.stage} {event.item}".strip())
                bars.update(task, description=text, completed=event.done, total=event.total)
            else:
                yield event
