"""Tables in text form: comma, tab, semicolon or bar between the cells."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

from banyan.core.errors import BrokenDocument
from banyan.knowledge.parse.draft import Draft
from banyan.knowledge.parse.encoding import decode
from banyan.knowledge.parse.fields import add_record
from banyan.knowledge.parse.tables import check_columns, markdown_table

_DELIMITERS = ",\t;|"
_SAMPLE_CHARS = 16_384
_LONG_ROW_CHARS = 1_000


def read(file: BinaryIO, draft: Draft) -> None:
    """One table; rows too long to read as rows (a thousand characters on average) as records."""
    text = decode(file.read(), draft.name)
    rows = list(_rows(text, draft))
    if len(rows) > 1 and len(text) > _LONG_ROW_CHARS * len(rows):
        header = [name or f"column {index}" for index, name in enumerate(rows[0], start=1)]
        for row in rows[1:]:
            add_record(dict(zip(header, row, strict=False)), draft)
    else:
        draft.add("table", markdown_table(rows))


def _rows(text: str, draft: Draft) -> Iterator[list[str]]:
    csv.field_size_limit(draft.limits.max_document_chars)
    check_columns(max(text[: text.find("\n")].count(mark) for mark in _DELIMITERS))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text[:_SAMPLE_CHARS]))
    try:
        for row in reader:
            check_columns(len(row))
            if any(row):
                yield row
    except csv.Error as error:
        raise BrokenDocument(
            f"{draft.name} is no table: line {reader.line_num}: {error}."
        ) from None


def _delimiter(sample: str) -> str:
    """The mark that cuts the sample's rows into the same, largest number of cells."""
    best, best_score = ",", 0.0
    for mark in _DELIMITERS:
        widths = [len(row) for row in csv.reader(sample.splitlines()[:50], delimiter=mark) if row]
        common = max(widths, key=widths.count, default=1)
        score = (common > 1) * widths.count(common) / max(len(widths), 1) + common / 1e6
        if score > best_score:
            best, best_score = mark, score
    return best
