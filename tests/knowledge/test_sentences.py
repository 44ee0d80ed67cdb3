from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banyan.knowledge.sentences import sentences

MIXED = st.text(
    st.sampled_from(list("aB1 .!?。！？；…\n|-\"”「」()（）'中文字éÀ\t,，")), max_size=120
)


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It grows. It falls! Why? Nobody knows.",
         ["It grows.", "It falls!", "Why?", "Nobody knows."]),
        ("Dr. Smith paid $3.14 to J. R. Tolkien. He left.",
         ["Dr. Smith paid $3.14 to J. R. Tolkien.", "He left."]),
        ("It opens at 9 a.m. and closes at 5 p.m. The rest is closed.",
         ["It opens at 9 a.m. and closes at 5 p.m.", "The rest is closed."]),
        ("See Fig. 3 and No. 5, e.g. Oslo. The answer is no. It is over.",
         ["See Fig. 3 and No. 5, e.g. Oslo.", "The answer is no.", "It is over."]),
        ('"Why?" he asked. "Done." She left.', ['"Why?" he asked.', '"Done."', "She left."]),
        ("Use Node.js 3.5.1 now. Then stop.", ["Use Node.js 3.5.1 now.", "Then stop."]),
        ("It is known.[12] So be it.", ["It is known.[12]", "So be it."]),
        ("Well... perhaps. Wait... Now.", ["Well... perhaps.", "Wait...", "Now."]),
        ("The U.S. Army moved. In the U.S. The law differs.",
         ["The U.S. Army moved.", "In the U.S.", "The law differs."]),
    ],
)  # fmt: skip
def test_english_sentences(text, expected):
    assert cut(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("榕树很大。它有气根！你见过吗？见过；在广东。",
         ["榕树很大。", "它有气根！", "你见过吗？", "见过；", "在广东。"]),
        ("他说：“你好。”然后走了。", ["他说：“你好。”", "然后走了。"]),
        ("“走吧！”，他说。", ["“走吧！”，他说。"]),
        ("他想了想……还是走了。", ["他想了想……还是走了。"]),
        ("版本 3.11 很好。Python 也好！真的?是的",
         ["版本 3.11 很好。", "Python 也好！", "真的?", "是的"]),
        ("（见下文。）后面还有。", ["（见下文。）", "后面还有。"]),
    ],
)  # fmt: skip
def test_chinese_sentences(text, expected):
    assert cut(text) == expected


def test_lines_lists_and_table_rows_end_sentences():
    text = (
        "- first item\n- second. Third\n| a. b | c |\n|---|---|\n| d | e |\nwrapped line\ngoes on."
    )
    assert cut(text) == [
        "- first item",
        "- second.",
        "Third",
        "| a. b | c |",
        "| d | e |",
        "wrapped line\ngoes on.",
    ]


def test_a_number_at_the_beginning_is_no_sentence_of_its_own():
    assert cut("1. Install it. Then run it.") == ["1. Install it.", "Then run it."]


@settings(deadline=None)
@given(MIXED)
def test_sentences_are_in_order_trimmed_and_hold_every_letter(text):
    spans = sentences(text)
    end_before, outside = 0, ""
    for start, end in spans:
        assert end_before <= start < end
        assert not text[start].isspace()
        assert not text[end - 1].isspace()
        outside += text[end_before:start]
        end_before = end
    outside += text[end_before:]
    assert not re.search(r"\w", outside)
