"""PowerPoint: each slide a page, its title a heading, then text, tables and the speaker's notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from pptx import Presentation
from pptx.chart.chart import Chart
from pptx.shapes.autoshape import Shape
from pptx.shapes.base import BaseShape
from pptx.shapes.graphfrm import GraphicFrame
from pptx.shapes.group import GroupShape
from pptx.slide import Slide
from pptx.text.text import TextFrame

from banyan.knowledge.parse.archive import check_office_file
from banyan.knowledge.parse.draft import Draft
from banyan.knowledge.parse.tables import markdown_table

_ROW_HEIGHT_EMU = 228_600  # a quarter inch: shapes this near in height are read left to right
_MAX_GROUPS = 20
_FURNITURE = ("DATE", "FOOTER", "SLIDE_NUMBER", "HEADER")


def read(file: BinaryIO, draft: Draft) -> None:
    check_office_file(file, draft.name)
    presentation = Presentation(file)
    draft.title = presentation.core_properties.title or ""
    if draft.title.lower() == "powerpoint presentation":
        draft.title = ""
    for number, slide in enumerate(presentation.slides, start=1):
        _add_slide(slide, number, draft)


def _add_slide(slide: Slide, number: int, draft: Draft) -> None:
    title = slide.shapes.title
    if title is not None and title.has_text_frame:
        draft.add("heading", title.text_frame.text.replace("\v", " "), level=1, page=number)
    title_id = title.shape_id if title is not None else None
    for shape in _in_order(_flat(slide.shapes, 0)):
        if shape.shape_id != title_id and not _is_furniture(shape):
            _add_shape(shape, number, draft)
    if slide.has_notes_slide:
        notes = slide.notes_slide.notes_text_frame
        if notes is not None and notes.text.strip():
            draft.add("paragraph", f"Notes: {notes.text}", page=number)


def _flat(shapes: Iterable[BaseShape], depth: int) -> Iterator[BaseShape]:
    """The shapes, groups opened."""
    for shape in shapes:
        if isinstance(shape, GroupShape) and depth < _MAX_GROUPS:
            yield from _flat(shape.shapes, depth + 1)
        else:
            yield shape


def _in_order(shapes: Iterable[BaseShape]) -> list[BaseShape]:
    """From top to bottom, then left to right; placeholders without a place keep theirs."""
    return sorted(shapes, key=lambda s: ((s.top or 0) // _ROW_HEIGHT_EMU, s.left or 0))


def _is_furniture(shape: BaseShape) -> bool:
    if not shape.is_placeholder:
        return False
    kind = shape.placeholder_format.type
    return kind is not None and kind.name in _FURNITURE


def _add_shape(shape: BaseShape, page: int, draft: Draft) -> None:
    if isinstance(shape, GraphicFrame) and shape.has_table:
        rows = [[cell.text for cell in row.cells] for row in shape.table.rows]
        draft.add("table", markdown_table(rows), page=page)
    elif isinstance(shape, GraphicFrame) and shape.has_chart:
        draft.add("table", markdown_table(_chart_rows(shape.chart)), page=page)
    elif isinstance(shape, Shape):
        _add_text(shape.text_frame, page, draft)


def _add_text(frame: TextFrame, page: int, draft: Draft) -> None:
    lines = [
        (paragraph.level, paragraph.text.replace("\v", " ").strip())
        for paragraph in frame.paragraphs
    ]
    lines = [(level, text) for level, text in lines if text]
    if len(lines) > 1:
        draft.add("list", "\n".join(f"{'  ' * level}- {text}" for level, text in lines), page=page)
    elif lines:
        draft.add("paragraph", lines[0][1], page=page)


def _chart_rows(chart: Chart) -> list[list[str]]:
    """A chart's numbers: a row per category, a column per series."""
    rows: list[list[str]] = []
    for plot in chart.plots:
        series = list(plot.series)
        rows.append(["", *(str(one.name) for one in series)])
        for index, category in enumerate(plot.categories):
            values = (one.values[index] if index < len(one.values) else None for one in series)
            rows.append([str(category), *("" if value is None else str(value) for value in values)])
    return rows
