"""Rows of an evaluation: printed as a table, kept as results/NAME.json."""

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
    if not rows:
        return
    print("\t".join(rows[0]))
    for row in rows:
        print("\t".join(_shown(value) for value in row.values()))
    print(f"({len(rows)} rows in {target})")


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else str(value)
