from __future__ import annotations

from pathlib import Path

import pytest
from tests.knowledge.factory import BASE, add, library, page, reader

from banyan.core.context import PUBLIC, Context
from banyan.core.errors import UnknownDocument
from banyan.knowledge import sample
from banyan.knowledge.language import detect
from banyan.knowledge.suggest import question


@pytest.mark.parametrize(
    ("heading", "asked"),
    [
        ("How to request leave", "How do I request leave?"),
        ("3.2 Install the engine", "How do I install the engine?"),
        ("Reset GPU settings", "How do I reset GPU settings?"),
        ("Quantisation", "What is quantisation?"),
        ("Parental leave", "What is parental leave?"),
        ("GPU", "What is GPU?"),
        ("Core Features", "What are the core features?"),
        ("Quantisation in plain words", "What is quantisation in plain words?"),
        ("Building with Haystack", "How does building with Haystack work?"),
        ("What does it cost?", "What does it cost?"),
        ("如何申请休假", "如何申请休假？"),
        ("安装引擎", "如何安装引擎？"),
        ("第三章 量化", "量化是什么？"),
        ("可以添加哪些文件", "可以添加哪些文件？"),
        ("出了问题怎么办", "出了问题怎么办？"),
    ],
)
def test_a_heading_becomes_the_question_it_answers(heading: str, asked: str) -> None:
    text = "Here quantisation, the core features and parental leave are written small."
    assert question(heading, text) == asked


def test_a_name_keeps_its_capital() -> None:
    assert question("Haystack", "Haystack is a framework.") == "What is Haystack?"


@pytest.mark.parametrize(
    "heading",
    [
        "Introduction",
        "Overview",
        "目录",
        "2024",
        "1. 2. 3.",
        "report.pdf",
        "RELATED WORK",
        "Page 4 of the sample",
        "写作受内存带宽限制",
        "What Banyan is",
        "The engine is fast and it was written for this",
        "Contact us",
        "About",
        "A very long heading " * 5,
        "see https://example.org/page",
        "",
        "Our first hundred days in office, a review",
        "使用自己的数据，并导出结果",
    ],
)
def test_a_heading_that_would_sound_wrong_is_left_out(heading: str) -> None:
    assert question(heading) is None


def test_questions_come_from_different_documents_in_turn(tmp_path: Path) -> None:
    shelf = library(tmp_path)
    shelf.create_base(BASE, "Base", Context())
    add(shelf, "a", page("Quantisation", "About quantisation. " * 9))
    add(shelf, "b", page("如何申请休假", "内容。" * 9))
    add(shelf, "c", page("Quantisation", "Again quantisation. " * 9))
    asked = shelf.suggest(BASE, Context(), limit=5)
    assert sorted(asked) == ["What is quantisation?", "如何申请休假？"]
    assert len(shelf.suggest(BASE, Context(), limit=1)) == 1


def test_questions_of_one_document_and_of_a_hidden_one(tmp_path: Path) -> None:
    shelf = library(tmp_path)
    shelf.create_base(BASE, "Base", Context())
    add(shelf, "a", page("Quantisation", "It is quantisation."))
    hidden = add(shelf, "b", page("Salaries", "All salaries."), label="hr").document_id
    assert shelf.suggest(BASE, Context(), document_id=hidden) == ["What are the salaries?"]
    assert shelf.suggest(BASE, reader(PUBLIC)) == ["What is quantisation?"]
    with pytest.raises(UnknownDocument):
        shelf.suggest(BASE, reader(PUBLIC), document_id=hidden)


def test_the_sample_has_three_fixed_questions_a_language() -> None:
    assert [detect(asked) for asked in sample.QUESTIONS] == ["en"] * 3 + ["zh"] * 3
