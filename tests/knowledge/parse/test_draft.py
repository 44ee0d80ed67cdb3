from __future__ import annotations

import pytest

from banyan.core.errors import EmptyDocument, ParserLimit
from banyan.knowledge.parse.draft import Draft
from banyan.knowledge.parse.limits import ParseLimits


def draft(**limits: int) -> Draft:
    return Draft("folder/a.txt", ParseLimits(**limits))


def test_blank_blocks_are_not_kept_and_nothing_at_all_is_an_empty_document():
    empty = draft()
    empty.add("paragraph", " \u200b\n\x00 ")
    with pytest.raises(EmptyDocument):
        empty.document("text/plain")


def test_code_keeps_its_indentation_and_paragraphs_their_lines():
    built = draft()
    built.add("code", "\n\nif x:\n\n    y()\n")
    built.add("paragraph", "  a \t b \n\n c")
    assert [b.text for b in built.document("text/plain").blocks] == ["if x:\n    y()", "a b\nc"]


def test_no_block_holds_a_blank_line_because_that_is_what_parts_blocks():
    built = draft()
    built.add("code", "a\n \n\t\nb")
    assert built.document("text/plain").text == "a\nb"


def test_characters_that_cannot_be_stored_are_replaced():
    built = draft()
    built.add("paragraph", "a\ud800b")
    assert built.document("text/plain").text == "a\ufffdb"


def test_limits_on_pages_and_characters_name_themselves():
    with pytest.raises(ParserLimit, match="max_pages = 2"):
        draft(max_pages=2).add("paragraph", "x", page=3)
    with pytest.raises(ParserLimit, match="max_document_chars = 3") as caught:
        draft(max_document_chars=3).add("paragraph", "four")
    assert "BANYAN_MAX_DOCUMENT_CHARS" in caught.value.remedy
