"""Lines of a PDF column as headings, paragraphs, lists and tables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from banyan.knowledge.language import CJK
from banyan.knowledge.parse.lines import BULLET, join_lines, list_items
from banyan.knowledge.parse.pdf_order import Line
from banyan.knowledge.parse.pdf_runs import Run
from banyan.knowledge.parse.tables import markdown_table
from banyan.knowledge.records import Block

_LARGER = 1.12
_MOST_HEADING_CHARS, _MOST_BOLD_CHARS = 200, 100
_MOST_HEADING_LINES = 4
_LEAST_ROWS = 3
_AROUND = 4
_LOOSEST = 2.0
_SENTENCE_END = re.compile(r"[.!?。！？:：][\"'”’)]*$")
_NUMBERED = re.compile(f"\\d{{1,2}}(?:\\.\\d{{1,2}}){{1,3}}\\.?\\s+[A-Z{CJK}].{{1,70}}[^\\d]")
_NOT_A_HEADING = re.compile(r"[.,;:。，；：]$|^[\W\d_]*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """What is ordinary in this document: the body's font, and the sizes headings are set in."""

    body_size: float
    body_bold: bool
    heading_sizes: tuple[float, ...]

    @classmethod
    def of(cls, pages: Sequence[Sequence[Run]]) -> Style:
        weights: Counter[tuple[float, bool]] = Counter()
        for runs in pages:
            for run in (run for run in runs if not run.rotated):
                weights[run.size, run.bold] += len(run.text)
        sizes: Counter[float] = Counter()
        for (size, _), weight in weights.items():
            sizes[size] += weight
        body_size = sizes.most_common(1)[0][0] if sizes else 10.0
        larger = sorted((size for size in sizes if size >= _LARGER * body_size), reverse=True)
        return cls(
            body_size=body_size,
            body_bold=weights[body_size, True] > weights[body_size, False],
            heading_sizes=tuple(larger[:5]),
        )

    def heading_level(self, lines: Sequence[Line]) -> int:
        """1-6, or 0 where the lines are no heading."""
        text = " ".join(line.text for line in lines)
        size = max(line.size for line in lines)
        if len(lines) > _MOST_HEADING_LINES or len(text) > _MOST_HEADING_CHARS:
            return 0
        if lines[0].runs[0].rotated or not re.search(r"[^\W\d_]{2}|[^\W\d_a-zA-Z]", text):
            return 0
        if size >= _LARGER * self.body_size:
            smaller = sum(1 for other in self.heading_sizes if other > size)
            return min(smaller + 1, 5)
        is_bold = all(line.bold for line in lines) and not self.body_bold
        if is_bold and len(text) <= _MOST_BOLD_CHARS and not _NOT_A_HEADING.search(text):
            return min(len(self.heading_sizes) + 1, 6)
        if len(lines) == 1 and _NUMBERED.fullmatch(text) and not _NOT_A_HEADING.search(text):
            return min(len(self.heading_sizes) + 1, 6)
        return 0


def page_blocks(columns: Sequence[Sequence[Line]], style: Style) -> Iterator[Block]:
    for lines in columns:
        for group in _paragraphs(lines):
            yield from _blocks(group, style)


def _blocks(lines: list[Line], style: Style) -> Iterator[Block]:
    if lines[0].runs[0].rows:
        yield Block(kind="table", text=markdown_table(lines[0].runs[0].rows))
        return
    level = style.heading_level(lines)
    rows = _aligned_rows(lines)
    if rows:
        yield Block(kind="table", text=markdown_table(rows))
    elif level:
        yield Block(kind="heading", text=join_lines([line.text for line in lines]), level=level)
    elif BULLET.match(lines[0].text):
        yield Block(kind="list", text="\n".join(list_items([line.text for line in lines])))
    else:
        yield Block(kind="paragraph", text=join_lines([line.text for line in lines]))


def _paragraphs(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Lines that belong together; the items of a list stay in one group."""
    column = _Column.of(lines)
    group: list[Line] = []
    for line in lines:
        if group and column.breaks(group, line):
            yield group
            group = []
        group.append(line)
    if group:
        yield group


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A column, the usual size of its lines and the distance from one to the next."""

    lines: Sequence[Line]
    leading: float
    size: float

    @classmethod
    def of(cls, lines: Sequence[Line]) -> _Column:
        steps = [one.bottom - other.bottom for one, other in pairwise(lines)]
        size = median(line.size for line in lines)
        leading = min(median(steps) if steps else 0.0, _LOOSEST * size)
        return cls(lines=lines, leading=leading, size=size)

    def breaks(self, group: list[Line], line: Line) -> bool:
        """Whether ``line`` begins something new after ``group``."""
        above = group[-1]
        if above.runs[0].rows or line.runs[0].rows:
            return True
        if len(above.runs) > 1 and len(line.runs) > 1:
            return above.bottom - line.bottom > 2.5 * line.size
        if (len(above.runs) > 1) != (len(line.runs) > 1) and len(group) >= _LEAST_ROWS:
            return True
        if abs(above.size - line.size) > 0.08 * above.size or above.bold != line.bold:
            return True
        # Headings are set looser than the column around them.
        usual = max(self.leading, line.size * (1.35 if line.size > self.size else 1.0))
        if above.bottom - line.bottom > 1.25 * usual:
            return True
        return self._begins_paragraph(group, line)

    def _begins_paragraph(self, group: list[Line], line: Line) -> bool:
        is_list = bool(BULLET.match(group[0].text))
        if BULLET.match(line.text):
            return not is_list and line.left <= group[0].left + line.size * 3
        above = group[-1]
        if is_list:
            return line.left < group[0].left - 0.5 * line.size or (
                line.left <= group[0].left + 1 and bool(_SENTENCE_END.search(above.text))
            )
        around = self._around(line)
        margin, slack = median(other.left for other in around), 0.8 * line.size
        is_indented = line.left > margin + slack and above.left < line.left - slack
        is_outdented = line.left < above.left - slack and abs(above.left - margin) < slack
        if is_indented or is_outdented:  # of a first line, or of hanging paragraphs
            return True
        return _would_fit(line, max(other.right for other in around) - above.right)

    def _around(self, line: Line) -> Sequence[Line]:
        index = next(i for i, other in enumerate(self.lines) if other is line)
        return self.lines[max(index - _AROUND, 0) : index + _AROUND]


def _would_fit(line: Line, room: float) -> bool:
    """Whether the first word of ``line`` had room on the line above: then the break was meant."""
    text = line.text
    word = re.match(f"[{CJK}]|\\S+", text)
    share = len(word.group()) / len(text) if word else 1.0
    return room > 1.3 * share * (line.right - line.left) + line.size


def _aligned_rows(lines: list[Line]) -> list[list[str]]:
    """The cells of lines set in columns without rules between them; empty if they are not."""
    if len(lines) < _LEAST_ROWS or sum(len(line.runs) > 1 for line in lines) < _LEAST_ROWS:
        return []
    columns = _columns([run for line in lines for run in line.runs])
    if len(columns) < 2:
        return []
    rows = []
    for line in lines:
        cells = [""] * len(columns)
        for run in line.runs:
            index = next(i for i, (left, right) in enumerate(columns) if left <= run.left <= right)
            if cells[index]:
                return []
            cells[index] = run.text
        rows.append(cells)
    return rows


def _columns(runs: list[Run]) -> list[tuple[float, float]]:
    """Stretches of x that runs cover, white space between them."""
    stretches: list[tuple[float, float]] = []
    for run in sorted(runs, key=lambda run: run.left):
        if stretches and run.left <= stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], max(stretches[-1][1], run.right))
        else:
            stretches.append((run.left, run.right))
    return stretches
