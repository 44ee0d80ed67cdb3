from __future__ import annotations

from banyan.knowledge.records import Block, Document
from banyan.knowledge.split_heading import HeadingSplitter


def document(*blocks: tuple[int, str]) -> Document:
    """Blocks as (heading level or 0, text)."""
    return Document(
        title="t",
        media_type="m",
        blocks=tuple(
            Block(kind="heading" if level else "paragraph", text=text, level=level)
            for level, text in blocks
        ),
    )


def cut(source: Document, limit: float = 40) -> list[tuple[tuple[str, ...], str]]:
    pieces = HeadingSplitter(limit=limit).cut(source)
    return [(piece.heading_path, source.text[piece.start : piece.end].strip()) for piece in pieces]


LONG = "word " * 35


def test_each_large_section_is_a_piece_under_its_headings():
    source = document((1, "A"), (2, "B"), (0, LONG), (2, "C"), (0, LONG), (1, "D"), (0, LONG))
    assert [path for path, _ in cut(source)] == [("A", "B"), ("A", "C"), ("D",)]


def test_small_neighbours_under_one_heading_become_one_piece():
    source = document((1, "A"), (2, "B"), (0, "few words"), (2, "C"), (0, "few more"))
    assert cut(source) == [(("A",), "A\n\nB\n\nfew words\n\nC\n\nfew more")]


def test_small_sections_of_different_headings_stay_apart():
    source = document((1, "A"), (0, "few words"), (1, "B"), (0, "few more"))
    assert [path for path, _ in cut(source)] == [("A",), ("B",)]


def test_a_heading_is_never_left_at_the_end_of_a_piece():
    source = document((1, "A"), (0, LONG), (2, "B"), (0, "word. " * 200), (2, "C"), (0, LONG))
    for _, text in cut(source):
        assert text.split("\n\n")[-1] not in ("A", "B", "C")


def test_a_long_heading_is_not_cut_from_what_follows():
    title = "heading " * 25
    source = document((1, title.strip()), (0, "word " * 60))
    [(_, first), *_] = cut(source)
    assert first.startswith("heading")
    assert "word" in first


def test_a_long_section_is_cut_at_sentences_into_parts_of_like_size():
    source = document((1, "A"), (0, "This is one sentence of seven words. " * 20))
    parts = cut(source)
    assert all(text.endswith("words.") for _, text in parts)
    assert min(len(text) for _, text in parts) > 0.4 * max(len(text) for _, text in parts)


def test_a_long_chinese_section_is_cut_at_sentences():
    source = document((1, "甲"), (0, "榕树的气根从枝条上垂下来。" * 40))
    assert all(text.endswith("。") for _, text in cut(source))


def test_headings_with_nothing_below_lead_the_next_text():
    source = document((1, "A"), (2, "B"), (3, "C"), (0, "text"))
    assert cut(source) == [(("A", "B", "C"), "A\n\nB\n\nC\n\ntext")]
