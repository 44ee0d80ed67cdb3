"""Rows of a measurement: printed as a table, kept as results/NAME.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

Row = Mapping[str, object]


def report(name: str, rows: Sequence[Row]) -> None:
    """Print the rows under their common header and write them to ``results/NAME.json``."""
    target = Path("results") / f"{name}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(list(rows), indent=1, ensure_ascii=False) + "\n")
    if rows:
        cells = [list(rows[0])] + [[_shown(value) for value in row.values()] for row in rows]
        widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
        for line in cells:
            print("  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)).rstrip())
    print(f"({len(rows)} rows in {target})")


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"
    return "" if value is None else str(value)
