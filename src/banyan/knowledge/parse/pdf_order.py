"""Reading order on a PDF page: columns found by the gutter between them, then lines by height."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from banyan.knowledge.parse.pdf_runs import Run

_STEP = 2.0
_LEAST_LINES = 5
_FILLED = 0.5
_MOST_SPANNING = 0.6
_MAX_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Line:
    """The runs of one line of a column from left to right; a table is a line of its own."""

    runs: tuple[Run, ...]

    @property
    def text(self) -> str:
        return " ".join(run.text for run in self.runs)

    @property
    def left(self) -> float:
        return self.runs[0].left

    @property
    def right(self) -> float:
        return self.runs[-1].right

    @property
    def top(self) -> float:
        return max(run.top for run in self.runs)

    @property
    def bottom(self) -> float:
        return min(run.bottom for run in self.runs)

    @property
    def size(self) -> float:
        """The size of most of the characters."""
        return max(self.runs, key=lambda run: len(run.text)).size

    @property
    def bold(self) -> bool:
        return all(run.bold for run in self.runs if run.text.strip())


def reading_order(runs: Sequence[Run]) -> list[list[Line]]:
    """The page as columns (or stretches of them) of lines; text at an angle comes last."""
    upright = [run for run in runs if not run.rotated]
    rotated = [Line((run,)) for run in runs if run.rotated]
    columns = [lines_of(part) for part in _split(upright, _MAX_DEPTH)]
    return columns + ([rotated] if rotated else [])


def _split(runs: list[Run], depth: int) -> list[list[Run]]:
    """Parts in reading order: between runs that span the gutter, left before right."""
    gutter = _gutter(runs) if depth else None
    if gutter is None:
        return [runs] if runs else []
    parts: list[list[Run]] = []
    left: list[Run] = []
    right: list[Run] = []
    spanning: list[Run] = []
    for run in sorted(runs, key=lambda run: -run.middle[1]):
        if run.left < gutter < run.right:
            parts += _split(left, depth - 1) + _split(right, depth - 1)
            left, right = [], []
            spanning.append(run)
            continue
        if spanning and not _beside(spanning[-1], run):
            parts.append(spanning)
            spanning = []
        if spanning:
            spanning.append(run)
        else:
            (left if run.right <= gutter else right).append(run)
    tail = [spanning] if spanning else []
    return parts + tail + _split(left, depth - 1) + _split(right, depth - 1)


def _beside(spanning: Run, run: Run) -> bool:
    """Whether ``run`` stands on the line of a spanning run, and so belongs to it."""
    overlap = min(spanning.top, run.top) - max(spanning.bottom, run.bottom)
    return overlap > 0.5 * min(spanning.height, run.height)


def _gutter(runs: list[Run]) -> float | None:
    """The x of the white space between two columns of running text, if there is one.

    Both sides need several lines that fill their column and stand beside each other; the columns
    of a table do not fill theirs, and so stay together.
    """
    if len(runs) < 2 * _LEAST_LINES:
        return None
    first, last = min(run.left for run in runs), max(run.right for run in runs)
    width = last - first
    best, fewest = None, _MOST_SPANNING * len(runs)
    x = first + 0.2 * width
    while x < last - 0.2 * width:
        spanning = sum(run.left < x < run.right for run in runs)
        if spanning < fewest and _are_columns(runs, x, first, last):
            best, fewest = x, spanning
        x += _STEP
    return best


def _are_columns(runs: list[Run], x: float, first: float, last: float) -> bool:
    left = [run for run in runs if run.right <= x]
    right = [run for run in runs if run.left >= x]
    if min(len(left), len(right)) < _LEAST_LINES:
        return False
    left_edge, right_edge = max(run.right for run in left), min(run.left for run in right)
    if median(run.width for run in left) < _FILLED * (left_edge - first):
        return False
    if median(run.width for run in right) < _FILLED * (last - right_edge):
        return False
    top = min(max(run.top for run in side) for side in (left, right))
    bottom = max(min(run.bottom for run in side) for side in (left, right))
    tallest = min(max(r.top for r in side) - min(r.bottom for r in side) for side in (left, right))
    return top - bottom > 0.4 * tallest


def lines_of(runs: Sequence[Run]) -> list[Line]:
    """Runs grouped into lines from top to bottom."""
    lines: list[list[Run]] = []
    for run in sorted(runs, key=lambda run: -run.middle[1]):
        if lines and not run.rows and not lines[-1][0].rows and _on_line(run, lines[-1]):
            lines[-1].append(run)
        else:
            lines.append([run])
    return [Line(tuple(sorted(line, key=lambda run: run.left))) for line in lines]


def _on_line(run: Run, line: list[Run]) -> bool:
    tallest = max(line, key=lambda other: other.height)
    overlap = min(tallest.top, run.top) - max(tallest.bottom, run.bottom)
    return overlap > 0.5 * min(tallest.height, run.height)
