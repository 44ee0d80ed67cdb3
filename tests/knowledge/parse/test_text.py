from __future__ import annotations


def test_blank_lines_part_paragraphs_and_wrapped_lines_are_joined(blocks):
    source = (
        b"This paragraph was wrapped by an editor at some\n"
        b"column, so that its lines belong together as\n"
        b"one stretch of text.\n\nName: Banyan\nKind: tree\n"
    )
    assert blocks(source, "a.txt") == [
        (
            "paragraph",
            "This paragraph was wrapped by an editor at some column, so that its lines belong "
            "together as one stretch of text.",
        ),
        ("paragraph", "Name: Banyan\nKind: tree"),
    ]


def test_bullets_and_numbers_are_lists(blocks):
    assert blocks(b"* one\n* two\n  more of two\n", "a.txt") == [
        ("list", "* one\n* two more of two")
    ]


def test_chapters_are_headings_in_both_languages(blocks):
    source = "Chapter 1 The Start\n\nIt began.\n\n第二章 结果\n\n它结束了。"
    assert [kind for kind, _ in blocks(source.encode(), "a.txt")] == [
        "heading",
        "paragraph",
        "heading",
        "paragraph",
    ]


def test_windows_line_ends_and_invisible_characters_go(read):
    assert read("\ufeffa\u200bb\r\nc\x07\r\n".encode(), "a.txt").text == "ab\nc"
