from __future__ import annotations

import pytest

from banyan.knowledge.parse.lines import join_lines, list_items


@pytest.mark.parametrize(
    ("lines", "joined"),
    [
        (["two", "words"], "two words"),
        (["hyphen-", "ated"], "hyphenated"),
        (["PaLM-", "540B"], "PaLM-540B"),
        (["a dash -", "stays"], "a dash - stays"),
        (["中文不用", "空格。"], "中文不用空格。"),
        (["使用", "Python 编程"], "使用 Python 编程"),
        ([], ""),
    ],
)
def test_lines_join_as_their_script_asks(lines, joined):
    assert join_lines(lines) == joined


def test_an_item_goes_on_until_the_next_begins():
    assert list_items(["1. one", "more", "2) two", "（三） 三"]) == [
        "1. one more",
        "2) two",
        "（三） 三",
    ]
