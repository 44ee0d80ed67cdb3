"""Foreign values: read with the type they must have, or refused by key and source."""

from __future__ import annotations

import pytest

from banyan.core.errors import CheckpointInvalid
from banyan.engine import metadata
from banyan.engine.metadata import Metadata, read_json

VALUES = Metadata(
    {
        "whole": 3,
        "half": 0.5,
        "word": "x",
        "yes": True,
        "none": None,
        "words": ["a"],
        "wholes": [1, 2],
        "inner": {"deep": 1},
        "list": [{"n": 1}],
    },
    "config.json",
)


def test_values_come_with_their_type():
    assert VALUES.integer("whole") == 3
    assert VALUES.number("whole") == 3.0
    assert VALUES.number("half") == 0.5
    assert VALUES.text("word") == "x"
    assert VALUES.flag("yes") is True
    assert VALUES.texts("words") == ["a"]
    assert VALUES.integers("wholes") == [1, 2]
    assert VALUES.integers("whole") == [3]
    assert VALUES.numbers("wholes") == [1.0, 2.0]
    assert VALUES.part("inner").integer("deep") == 1
    assert VALUES.parts("list")[0].integer("n") == 1


def test_null_counts_as_missing_but_as_mentioned():
    assert VALUES.integer("none", 9) == 9
    assert not VALUES.has("none")
    assert VALUES.mentions("none")
    assert not VALUES.mentions("absent")
    assert VALUES.part("absent").names() == []


@pytest.mark.parametrize(
    ("method", "key"),
    [
        ("integer", "half"),
        ("integer", "yes"),
        ("integer", "word"),
        ("integer", "absent"),
        ("number", "word"),
        ("text", "whole"),
        ("flag", "whole"),
        ("texts", "wholes"),
        ("integers", "words"),
        ("numbers", "word"),
        ("part", "whole"),
        ("parts", "words"),
    ],
)
def test_a_value_of_another_type_is_refused_by_key_and_source(method, key):
    with pytest.raises(CheckpointInvalid, match=rf"config\.json.*{key}"):
        getattr(VALUES, method)(key)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_a_file_that_is_no_json_object_is_refused(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointInvalid, match="config"):
        read_json(path)


def test_an_absent_or_huge_file_is_refused(tmp_path, monkeypatch):
    with pytest.raises(CheckpointInvalid):
        read_json(tmp_path / "absent.json")
    monkeypatch.setattr(metadata, "MAX_JSON_BYTES", 1)
    (tmp_path / "big.json").write_text("{}")
    with pytest.raises(CheckpointInvalid, match="MAX_JSON_BYTES"):
        read_json(tmp_path / "big.json")
