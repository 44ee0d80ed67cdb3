"""What goes to the screen or a pipe: JSON, tables, safe text and errors.

Results go to stdout, everything else to stderr. Colours appear on a terminal only, and not where
``NO_COLOR`` is set (https://no-color.org); rich sees to both.
"""

from __future__ import annotations

import io
import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from banyan.core.errors import BanyanError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

PIPE_WIDTH = 10_000
"""Columns of a table that goes into a pipe: it is never folded or cut."""

READABLE_WIDTH = 12
"""Columns that a longer cell needs at least: narrower, words are cut in pieces."""


def emit(value: object) -> None:
    """Print one JSON document."""
    print_text(json.dumps(value, ensure_ascii=False, indent=2, default=_plain_value))


def emit_line(value: object) -> None:
    """Print one JSON value on a line of its own, at once."""
    print_text(json.dumps(value, ensure_ascii=False, default=_plain_value))


def print_text(text: str = "", *, end: str = "\n") -> None:
    """Print to stdout at once, so that whoever reads a pipe sees it as it comes."""
    sys.stdout.write(text + end)
    sys.stdout.flush()


def clear() -> None:
    """Empty the screen of a terminal; in a pipe a line of space."""
    print_text("\x1b[2J\x1b[H" if is_terminal() else "", end="" if is_terminal() else "\n")


def note(text: str) -> None:
    """Tell a person something that is not the result."""
    sys.stderr.write(safe(text) + "\n")
    sys.stderr.flush()


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns; in a pipe the same, uncut and without colour.

    On a terminal too narrow for readable columns, each row becomes a paragraph of its own. The
    first column, which one copies, is never folded.
    """
    from rich.cells import cell_len
    from rich.table import Table

    cells = [[safe(str(cell)).replace("\n", " ") for cell in row] for row in rows]
    console = _console()
    first, *others = (max(map(cell_len, column)) for column in zip(headers, *cells, strict=True))
    gaps = 2 * len(others)
    if first + gaps + sum(min(width, READABLE_WIDTH) for width in others) > console.width:
        _paragraphs(console, headers, cells)
        return
    drawn = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for number, header in enumerate(headers):
        drawn.add_column(header, overflow="fold", no_wrap=number == 0)
    for row in cells:
        drawn.add_row(*map(_plain, row))
    console.print(drawn)


def _paragraphs(console: Console, headers: Sequence[str], cells: Iterable[Sequence[str]]) -> None:
    """Each row's first cell in bold, under it the others that say something, with their names."""
    from rich.padding import Padding
    from rich.text import Text

    for name, *others in cells:
        console.print(Text(name, style="bold"), soft_wrap=True)
        named = zip(headers[1:], others, strict=True)
        said = [f"{header.lower()} {cell}" for header, cell in named if cell]
        console.print(Padding(Text("; ".join(said)), (0, 0, 0, 2)))


def _plain(text: str) -> Text:
    from rich.text import Text

    return Text(text)


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Print ``name  value`` lines, names aligned, empty values left out."""
    shown = [(name, value) for name, value in pairs if value not in (None, "", ())]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        print_text(f"{name:<{width}}  {safe(str(value))}")


def styled(text: str, style: str) -> None:
    """Print one line in a style on a terminal, plain elsewhere."""
    from rich.text import Text

    _console().print(Text(safe(text), style=style), soft_wrap=True)


def show_error(error: BanyanError, *, as_json: bool) -> None:
    """``error: what happened`` and ``→ what to do`` on stderr; with ``--json`` also on stdout."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True)
    console.print(Text.assemble(("error: ", "bold red"), safe(str(error))))
    if error.remedy:
        console.print(Text(f"→ {safe(error.remedy)}"))
    if as_json:
        body = {"code": error.code, "message": str(error), "remedy": error.remedy}
        emit({"error": body})


def safe(text: str) -> str:
    """The text without control characters, which could command the terminal (new lines stay)."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) != "Cc" else "�" for c in text)


def is_text(text: str) -> bool:
    """False for an argument with bytes in it that are no UTF-8: Python keeps them as halves."""
    return not any(unicodedata.category(c) == "Cs" for c in text)


def tolerant() -> None:
    """Let a character that a stream's encoding lacks, or bytes that are none, end no command."""
    for stream, errors in ((sys.stdin, "replace"), (sys.stdout, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def size(count: int | None) -> str:
    """Bytes for a person: ``98.4 MB``."""
    if count is None:
        return ""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def is_terminal() -> bool:
    return sys.stdout.isatty()


def can_ask() -> bool:
    """Whether somebody sits at the other end to answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _console() -> Console:
    from rich.console import Console

    return Console() if is_terminal() else Console(width=PIPE_WIDTH, no_color=True)


def _plain_value(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
