"""Ruled tables of a PDF: the grid its lines draw, and the text in each cell.

The lines come from pdfium's path objects, which costs under a millisecond a page; a table
without rules is recognised later by its aligned cells (``pdf_blocks``).
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from ctypes import byref, c_float

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from banyan.knowledge.parse.lines import join_lines
from banyan.knowledge.parse.pdf_order import lines_of
from banyan.knowledge.parse.pdf_runs import Rule, Run

_THIN = 2.5
_LEAST_LENGTH = 6.0
_SNAP = 3.0
_MOST_SEGMENTS = 4000
_MOST_RULES = 1500
_LEAST_FILLED = 0.25


def read_rules(page: pdfium.PdfPage) -> list[Rule]:
    """The lines a page draws; none where it draws so many that they are a picture or a chart."""
    if page.get_rotation():
        return []
    rules: list[Rule] = []
    budget = _MOST_SEGMENTS
    for path in page.get_objects(filter=[pdfium_c.FPDF_PAGEOBJ_PATH], max_depth=1):
        budget -= max(pdfium_c.FPDFPath_CountSegments(path), 1)
        if budget < 0 or len(rules) > _MOST_RULES:
            return []
        rules.extend(_rules_of(path))
    return rules


def _rules_of(path: pdfium.PdfObject) -> Iterator[Rule]:
    left, bottom, right, top = path.get_bounds()
    if min(right - left, top - bottom) < _THIN:  # a line, or a rectangle drawn as thin as one
        yield from _rule(left, bottom, right, top)
        return
    before: tuple[float, float] | None = None
    first: tuple[float, float] | None = None
    matrix = path.get_matrix()
    for kind, x, y, closes in _segments(path):
        point = matrix.on_point(x, y)
        if kind == pdfium_c.FPDF_SEGMENT_MOVETO:
            first = point
        elif kind == pdfium_c.FPDF_SEGMENT_LINETO and before is not None:
            yield from _rule(before[0], before[1], point[0], point[1])
        if closes and first is not None:
            yield from _rule(point[0], point[1], first[0], first[1])
        before = point


def _segments(path: pdfium.PdfObject) -> Iterator[tuple[int, float, float, bool]]:
    x, y = c_float(), c_float()
    for index in range(pdfium_c.FPDFPath_CountSegments(path)):
        segment = pdfium_c.FPDFPath_GetPathSegment(path, index)
        if pdfium_c.FPDFPathSegment_GetPoint(segment, byref(x), byref(y)):
            closes = bool(pdfium_c.FPDFPathSegment_GetClose(segment))
            yield pdfium_c.FPDFPathSegment_GetType(segment), x.value, y.value, closes


def _rule(x0: float, y0: float, x1: float, y1: float) -> Iterator[Rule]:
    width, height = abs(x1 - x0), abs(y1 - y0)
    if height < _THIN and width > _LEAST_LENGTH:
        yield Rule(upright=False, at=(y0 + y1) / 2, start=min(x0, x1), end=max(x0, x1))
    elif width < _THIN and height > _LEAST_LENGTH:
        yield Rule(upright=True, at=(x0 + x1) / 2, start=min(y0, y1), end=max(y0, y1))


def take_out_tables(runs: list[Run], rules: Sequence[Rule]) -> list[Run]:
    """The runs, those inside a ruled table replaced by one run that holds its rows."""
    for xs, ys in _grids(rules):
        inside = [run for run in runs if _is_inside(run, xs, ys)]
        rows = _rows(inside, xs, ys)
        filled = sum(bool(cell) for row in rows for cell in row)
        if filled < max(_LEAST_FILLED * len(rows) * (len(xs) - 1), 2):
            continue
        table = Run(
            text=" ".join(cell for row in rows for cell in row),
            left=xs[0],
            bottom=ys[0],
            right=xs[-1],
            top=ys[-1],
            size=inside[0].size,
            rows=rows,
        )
        gone = {id(run) for run in inside}
        runs = [*(run for run in runs if id(run) not in gone), table]
    return runs


def _grids(rules: Sequence[Rule]) -> Iterator[tuple[list[float], list[float]]]:
    """The ascending x and y of each grid of at least two rows and two columns."""
    for group in _connected(rules):
        xs = _snapped([rule.at for rule in group if rule.upright])
        ys = _snapped([rule.at for rule in group if not rule.upright])
        if len(xs) >= 3 and len(ys) >= 3:
            yield xs, ys


def _connected(rules: Sequence[Rule]) -> list[list[Rule]]:
    """Groups of rules that meet, directly or through others."""
    left = set(range(len(rules)))
    groups = []
    while left:
        reached, group = [left.pop()], []
        while reached:
            rule = rules[reached.pop()]
            group.append(rule)
            near = [i for i in left if _meet(rule, rules[i])]
            left.difference_update(near)
            reached.extend(near)
        groups.append(group)
    return groups


def _meet(one: Rule, other: Rule) -> bool:
    return one.upright != other.upright and one.crosses(other, _SNAP)


def _snapped(values: list[float]) -> list[float]:
    """The values ascending, near ones as one."""
    snapped: list[float] = []
    for value in sorted(values):
        if not snapped or value - snapped[-1] > _SNAP:
            snapped.append(value)
    return snapped


def _is_inside(run: Run, xs: list[float], ys: list[float]) -> bool:
    x, y = run.middle
    return xs[0] <= x <= xs[-1] and ys[0] <= y <= ys[-1] and not run.rows


def _rows(runs: Sequence[Run], xs: list[float], ys: list[float]) -> list[list[str]]:
    """The text of each cell, top row first; text over several cells is in its leftmost."""
    cells: dict[tuple[int, int], list[Run]] = {}
    for run in runs:
        column = bisect_right(xs, max(run.left + 1.0, xs[0])) - 1
        row = bisect_right(ys, run.middle[1]) - 1
        cells.setdefault((row, column), []).append(run)
    rows = []
    for row in reversed(range(len(ys) - 1)):
        texts = (cells.get((row, column), []) for column in range(len(xs) - 1))
        rows.append([join_lines([line.text for line in lines_of(cell)]) for cell in texts])
    return [row for row in rows if any(row)]


def walls(rules: Sequence[Rule]) -> list[Rule]:
    """The upright rules of grids, ascending: text does not run on across them."""
    groups = (group for group in _connected(rules) if len(group) >= 5)
    upright = (rule for rule in itertools.chain.from_iterable(groups) if rule.upright)
    return sorted(upright, key=lambda rule: rule.at)
