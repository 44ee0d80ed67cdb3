"""Excel workbooks: each sheet a page with its name as heading, its tables as Markdown.

Values are shown as Excel last computed them. A formula without a kept value (the file was never
opened in a spreadsheet) is shown as the formula.
"""

from __future__ import annotations

import itertools
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import openpyxl
from openpyxl.worksheet._read_only import ReadOnlyWorksheet

from banyan.knowledge.parse.archive import check_office_file
from banyan.knowledge.parse.cells import shown
from banyan.knowledge.parse.draft import Draft
from banyan.knowledge.parse.tables import markdown_table

_UNCOMPUTED = re.compile(rb"(?:</f>|<f[^>]*/>)\s*(?:<v\s*/>|<v>\s*</v>)?\s*</c>")

Row = list[str]


def read(file: BinaryIO, draft: Draft) -> None:
    check_office_file(file, draft.name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns of parts it skips, such as drawings
        values = openpyxl.load_workbook(file, read_only=True, data_only=True)
        formulas = _formulas(file)
        draft.title = values.properties.title or draft.name.rsplit("/")[-1]
        for number, sheet in enumerate(values.worksheets, start=1):
            draft.add("heading", sheet.title, level=1, page=number)
            written = formulas.worksheets[number - 1] if formulas else None
            for region in _regions(_rows(sheet, written, draft)):
                _add_region(region, number, draft)


def _formulas(file: BinaryIO) -> openpyxl.Workbook | None:
    """The workbook with its formulas, where some cell holds one without a value; else None."""
    with zipfile.ZipFile(file) as archive:
        sheets = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
        if not any(_UNCOMPUTED.search(archive.read(name)) for name in sheets):
            return None
    return openpyxl.load_workbook(file, read_only=True, data_only=False)


def _add_region(region: list[Row], page: int, draft: Draft) -> None:
    if len(region) == 1 or max(len(row) for row in region) == 1:
        lines = (" ".join(cell for cell in row if cell) for row in region)
        draft.add("paragraph", "\n".join(lines), page=page)
    else:
        draft.add("table", markdown_table(region), page=page)


def _rows(
    sheet: ReadOnlyWorksheet, formulas: ReadOnlyWorksheet | None, draft: Draft
) -> Iterator[Row]:
    """The sheet's rows as shown text, without the empty cells at their end."""
    sheet.reset_dimensions()  # a lying dimension would cut the sheet, or pad it without end
    written: Iterable[tuple[object, ...]] = itertools.repeat(())
    if formulas is not None:
        formulas.reset_dimensions()
        written = formulas.iter_rows(values_only=True)
    for cells, sources in zip(sheet.iter_rows(), written, strict=False):
        row = [
            shown(cell.value, cell.number_format) if cell.value is not None else _formula(source)
            for cell, source in itertools.zip_longest(cells, sources[: len(cells)])
        ]
        draft.count("".join(row))
        yield _trimmed(row)


def _formula(source: object) -> str:
    return source if isinstance(source, str) and source.startswith("=") else ""


def _regions(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The tables of a sheet: what empty rows and then empty columns keep apart."""
    band: list[Row] = []
    for row in rows:
        if row:
            band.append(row)
        elif band:
            yield from _beside(band)
            band = []
    if band:
        yield from _beside(band)


def _beside(band: list[Row]) -> Iterator[list[Row]]:
    """A band of rows cut at its empty columns; the parts may hold empty rows of their own."""
    width = max(len(row) for row in band)
    used = [any(len(row) > c and row[c] for row in band) for c in range(width)]
    stretches = []
    start = 0
    for column in range(width + 1):
        if column == width or not used[column]:
            if column > start:
                stretches.append((start, column))
            start = column + 1
    if len(stretches) == 1:
        first, last = stretches[0]
        yield [row[first:last] for row in band]
        return
    for first, last in stretches:
        yield from _regions(_trimmed(row[first:last]) for row in band)


def _trimmed(row: Row) -> Row:
    end = len(row)
    while end and not row[end - 1]:
        end -= 1
    return row[:end]
