"""Draft: a document while its parser reads it; cleans text and counts it against the limits."""

from __future__ import annotations

import re

from banyan.core.errors import EmptyDocument
from banyan.knowledge.parse.limits import ParseLimits
from banyan.knowledge.records import Block, BlockKind, Document

MAX_TITLE_CHARS = 300

# Control characters, soft hyphens, zero-width characters and byte order marks; half a surrogate
# pair cannot be stored or sent.
_INVISIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACES = re.compile("[ \t\xa0\u2000-\u200a\u202f\u205f\u3000]+")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n)+")


class Draft:
    """Collects blocks in reading order. ``title`` may be set at any time."""

    def __init__(self, name: str, limits: ParseLimits) -> None:
        self.name = name
        self.limits = limits
        self.title = ""
        self._blocks: list[Block] = []
        self._chars = 0

    def add(self, kind: BlockKind, text: str, *, level: int = 0, page: int | None = None) -> None:
        """Append a block unless it is blank; raises ``ParserLimit`` for too many pages or chars."""
        if page is not None and page > self.limits.max_pages:
            raise self.limits.passed("max_pages", f"{self.name} has at least {page} pages")
        text = clean_code(text) if kind == "code" else clean(text)
        if kind == "heading":
            text, level = text.replace("\n", " "), min(max(level, 1), 6)
        if not text:
            return
        self.count(text)
        self._blocks.append(Block(kind=kind, text=text, level=level, page=page))

    def count(self, text: str) -> None:
        """Count text against ``max_document_chars``, for a parser that gathers before it adds."""
        self._chars += len(text)
        if self._chars > self.limits.max_document_chars:
            raise self.limits.passed(
                "max_document_chars", f"{self.name} holds at least {self._chars} characters"
            )

    def document(self, media_type: str) -> Document:
        """What was collected; raises ``EmptyDocument`` where that is nothing."""
        if not self._blocks:
            raise EmptyDocument(f"{self.name} holds no text.")
        title = (
            clean(self.title).replace("\n", " ")
            or self._first_heading()
            or self.name.rsplit("/")[-1]
        )
        return Document(
            title=title[:MAX_TITLE_CHARS], media_type=media_type, blocks=tuple(self._blocks)
        )

    def _first_heading(self) -> str:
        return next((b.text for b in self._blocks[:5] if b.kind == "heading" and b.level == 1), "")


def clean(text: str) -> str:
    """Text as a person reads it: single spaces, no blank lines, nothing invisible."""
    lines = (_SPACES.sub(" ", line).strip() for line in _readable(text).split("\n"))
    return "\n".join(line for line in lines if line)


def clean_code(text: str) -> str:
    """Code keeps its indentation; runs of blank lines become one line break."""
    return _BLANK_LINES.sub("\n", _readable(text)).strip("\n").rstrip()


def _readable(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _SURROGATE.sub("\ufffd", _INVISIBLE.sub("", text))
