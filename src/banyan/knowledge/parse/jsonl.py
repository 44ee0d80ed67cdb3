"""JSON and JSON lines: each object becomes a readable record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import BinaryIO

from banyan.core.errors import BrokenDocument
from banyan.knowledge.parse.draft import Draft
from banyan.knowledge.parse.encoding import decode
from banyan.knowledge.parse.fields import add_record


def read(file: BinaryIO, draft: Draft) -> None:
    text = decode(file.read(), draft.name)
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        values = _lines(text, error, draft)
    for value in values if isinstance(values, list) else [values]:
        add_record(value if isinstance(value, Mapping) else {"value": value}, draft)


def _lines(text: str, whole: json.JSONDecodeError, draft: Draft) -> list[object]:
    """One value a line; if the very first line is none, the file was meant to be one value."""
    values: list[object] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values.append(json.loads(line))
        except json.JSONDecodeError as error:
            message = f"line {number}: {error.msg}" if values else str(whole)
            raise BrokenDocument(f"{draft.name} is not valid JSON ({message}).") from None
    return values
