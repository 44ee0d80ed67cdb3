from __future__ import annotations

import pytest

from banyan.core.errors import InputError
from banyan.knowledge.records import Block, Document
from banyan.knowledge.split_plain import (
    LineSplitter,
    RecursiveSplitter,
    SentenceWindowSplitter,
    SeparatorSplitter,
)


def cut(splitter, *texts: str, kinds: str = "") -> list[str]:
    blocks = tuple(
        Block(kind="heading" if kind == "h" else "paragraph", text=text, level=kind == "h")
        for text, kind in zip(texts, kinds.ljust(len(texts)), strict=True)
    )
    source = Document(title="t", media_type="m", blocks=blocks)
    return [source.text[piece.start : piece.end].strip() for piece in splitter.cut(source)]


def test_recursive_cuts_at_the_highest_border_that_fits_and_leaves_no_crumb():
    assert cut(RecursiveSplitter(limit=6), "one two three", "four five six", "seven") == [
        "one two three",
        "four five six\n\nseven",
    ]
    assert cut(RecursiveSplitter(limit=4), "One two three. Four five six. Seven.") == [
        "One two three.",
        "Four five six. Seven.",
    ]


def test_line_gives_a_piece_a_line():
    assert cut(LineSplitter(), "first\nsecond", "third") == ["first", "second", "third"]


def test_separator_ends_each_piece():
    assert cut(SeparatorSplitter(separator="\n---"), "a b\n---\nc d\n---\ne") == [
        "a b\n---",
        "c d\n---",
        "e",
    ]


def test_sentence_windows_hold_so_many_sentences_and_never_cross_a_heading():
    texts = ("Top", "One. Two. Three.", "Next", "四。五。")
    assert cut(SentenceWindowSplitter(window=2), *texts, kinds="h h ") == [
        "Top\n\nOne. Two.",
        "Three.",
        "Next\n\n四。五。",
    ]


def test_senseless_options_are_refused():
    with pytest.raises(InputError):
        SeparatorSplitter(separator="")
    with pytest.raises(InputError):
        SentenceWindowSplitter(window=0)
