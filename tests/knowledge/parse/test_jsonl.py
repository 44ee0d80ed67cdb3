from __future__ import annotations

import pytest

from banyan.core.errors import BrokenDocument


def test_each_line_is_a_record_with_its_title_and_text_leading(blocks):
    source = b'{"id": 1, "text": "Body one.", "title": "One"}\n\n{"id": 2, "text": "Body two."}\n'
    assert blocks(source, "a.jsonl") == [
        ("heading", "One"),
        ("paragraph", "id: 1"),
        ("paragraph", "Body one."),
        ("paragraph", "id: 2"),
        ("paragraph", "Body two."),
    ]


def test_nested_values_are_named_by_their_path(blocks):
    source = b'{"a": {"b": [1, 2]}, "c": [{"d": true}, {"d": null}], "e": "\\u6811"}'
    assert blocks(source, "a.json") == [("paragraph", "a.b: 1, 2\nc.1.d: true\ne: 树")]


def test_a_list_of_plain_values_is_kept(read):
    assert "value: 1" in read(b"[1, 2]", "a.json").text


def test_broken_json_says_where(read):
    with pytest.raises(BrokenDocument, match="line 2"):
        read(b'{"a": 1}\n{"a": \n', "a.jsonl")
    with pytest.raises(BrokenDocument, match="line 2 column"):
        read(b'{\n "a" 1}', "a.json")
