"""A table as Markdown rows with its header first."""

from __future__ import annotations

from collections.abc import Sequence

from banyan.knowledge.parse.limits import fixed_limit

MAX_TABLE_COLUMNS = 16_384


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """The rows as Markdown, the first as header; wholly empty rows and columns are left out.

    Rows shorter than the header stay short, as Markdown allows. Raises ``ParserLimit`` for more
    than ``MAX_TABLE_COLUMNS`` columns.
    """
    cleaned = [[_cell(value) for value in row] for row in rows]
    cleaned = [row for row in cleaned if any(row)]
    if not cleaned:
        return ""
    width = max(len(row) for row in cleaned)
    check_columns(width)
    used = [
        column for column in range(width) if any(row[column : column + 1] > [""] for row in cleaned)
    ]
    header, *body = ([row[c] if c < len(row) else "" for c in used] for row in cleaned)
    lines = [_row(header), "|" + "---|" * len(used)]
    lines.extend(_row(_without_tail(row)) for row in body)
    return "\n".join(lines)


def check_columns(width: int) -> None:
    if width > MAX_TABLE_COLUMNS:
        raise fixed_limit("max_table_columns", MAX_TABLE_COLUMNS, f"A table has {width} columns")


def _cell(value: str) -> str:
    return " ".join(value.split()).replace("|", "\\|")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _without_tail(row: list[str]) -> list[str]:
    """The row without the empty cells at its end."""
    end = len(row)
    while end > 1 and not row[end - 1]:
        end -= 1
    return row[:end]
