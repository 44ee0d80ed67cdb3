from __future__ import annotations

import pytest

from banyan.core.errors import ParserLimit
from banyan.knowledge.parse.tables import MAX_TABLE_COLUMNS, markdown_table


def test_the_first_row_is_the_header_and_bars_are_escaped():
    assert markdown_table([["a|b", "c\nd"], ["1", "2"]]) == "| a\\|b | c d |\n|---|---|\n| 1 | 2 |"


def test_empty_rows_and_columns_are_left_out():
    assert markdown_table([["a", "", "b"], ["", "", ""], ["1", "", "2"]]) == (
        "| a | b |\n|---|---|\n| 1 | 2 |"
    )
    assert markdown_table([["", ""], []]) == ""


def test_one_wide_row_does_not_widen_the_others():
    table = markdown_table([["a"], ["1"], ["1", "", "3"]])
    assert table.splitlines() == ["| a |  |", "|---|---|", "| 1 |", "| 1 | 3 |"]


def test_too_many_columns_name_the_limit():
    with pytest.raises(ParserLimit, match="max_table_columns"):
        markdown_table([["x"] * (MAX_TABLE_COLUMNS + 1)])
