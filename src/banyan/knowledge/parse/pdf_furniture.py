"""Running headers, footers and page numbers: what stands at the same edge of many pages."""

from __future__ import annotations

import re
from collections import Counter

from banyan.knowledge.parse.pdf_order import Line, lines_of
from banyan.knowledge.parse.pdf_runs import Run

_EDGE_LINES = 2
_LEAST_PAGES = 3
_PAGE_SHARE = 0.25
_GRAIN = 4.0
_DIGITS = re.compile(r"\d+|\b[ivxlc]+\b", re.IGNORECASE)

Key = tuple[str, int]


def drop_furniture(pages: list[list[Run]]) -> list[list[Run]]:
    """The pages without lines that repeat, digits apart, at one height of a quarter of them.

    Where such a line holds letters its first appearance stays: it may say whose document it is.
    Fewer than three repetitions are not taken for furniture.
    """
    edges = [_edge_lines(runs) for runs in pages]
    counts = Counter(key for lines in edges for key in {_key(line) for line in lines})
    needed = max(_LEAST_PAGES, _PAGE_SHARE * len(pages))
    repeated = {key for key, count in counts.items() if count >= needed}
    shown: set[Key] = set()
    kept = []
    for runs, lines in zip(pages, edges, strict=True):
        dropped: set[int] = set()
        for line in lines:
            key = _key(line)
            if key in repeated and (key in shown or not re.search(r"[^\W\d_]{3}", key[0])):
                dropped.update(id(run) for run in line.runs)
            shown.add(key)
        kept.append([run for run in runs if id(run) not in dropped])
    return kept


def _edge_lines(runs: list[Run]) -> list[Line]:
    lines = lines_of([run for run in runs if not run.rotated])
    if len(lines) <= 2 * _EDGE_LINES:
        return lines
    return lines[:_EDGE_LINES] + lines[-_EDGE_LINES:]


def _key(line: Line) -> Key:
    return _DIGITS.sub("#", line.text).strip(), round(line.bottom / _GRAIN)
