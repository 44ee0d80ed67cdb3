"""What a question asks about, as against the words that ask."""

from __future__ import annotations

import pytest

from banyan.knowledge.wording import content_terms, content_text, has_content


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How much does the licence cost?", ["licenc", "cost"]),
        ("What is it?", ["what", "is", "it"]),
        ("Who founded the Union Army?", ["found", "union", "armi"]),
        ("Does the US tax IT firms?", ["us", "tax", "it", "firm"]),
        ("榕树的许可证是什么？", ["榕树", "许可", "可证"]),
        ("誰發明了電話？", ["發明", "電話"]),
        ("长江有多少公里？", ["长江", "公里"]),
    ],
)
def test_only_what_is_asked_about_becomes_terms(question: str, expected: list[str]) -> None:
    assert content_terms(question) == expected


@pytest.mark.parametrize("question", ["Why?", "what about it", "为什么？", "那呢？"])
def test_a_question_may_hold_nothing_but_asking(question: str) -> None:
    assert not has_content(question)
    assert content_text(question) == question
