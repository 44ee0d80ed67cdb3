"""Records of named fields (rows with long cells, JSON objects) as blocks a person can read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from banyan.knowledge.parse.draft import Draft

_TITLES = ("title", "name", "subject", "headline", "标题", "題目", "名称")
_TEXTS = ("text", "content", "body", "message", "answer", "description", "正文", "内容", "內容")
_LONG_CHARS = 200
_MAX_DEPTH = 64


def add_record(record: Mapping[str, object], draft: Draft) -> None:
    """One record: its title as a heading, its long text as paragraphs, the rest as key: value."""
    fields = list(_flat(record, ""))
    title = _take(fields, _TITLES, longest=120)
    if title:
        draft.add("heading", title, level=2)
    text = _take(fields, _TEXTS)
    short = [f"{key}: {value}" for key, value in fields if value and len(value) <= _LONG_CHARS]
    draft.add("paragraph", "\n".join(short))
    if text:
        _add_long(text, draft)
    for key, value in fields:
        if len(value) > _LONG_CHARS:
            _add_long(f"{key}: {value}", draft)


def _add_long(text: str, draft: Draft) -> None:
    for paragraph in text.replace("\r\n", "\n").split("\n\n"):
        draft.add("paragraph", paragraph)


def _take(fields: list[tuple[str, str]], names: Sequence[str], longest: int | None = None) -> str:
    """Remove and return the first field whose name is one of ``names``."""
    for name in names:
        for index, (key, value) in enumerate(fields):
            if key.lower() == name and value.strip() and (not longest or len(value) <= longest):
                del fields[index]
                return value
    return ""


def _flat(value: object, path: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Leaves as (dotted path, text); a list of plain values is one leaf."""
    if depth > _MAX_DEPTH:
        raise RecursionError
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, list) and any(isinstance(item, (Mapping, list)) for item in value):
        for index, item in enumerate(value, start=1):
            yield from _flat(item, f"{path}.{index}" if path else str(index), depth + 1)
    elif isinstance(value, list):
        yield path or "value", ", ".join(_plain(item) for item in value)
    else:
        yield path or "value", _plain(value)


def _plain(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
