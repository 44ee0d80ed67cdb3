"""Splitters that look at the text alone: recursive, by line, by separator, by sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from banyan.core.errors import InputError
from banyan.knowledge.outline import Outline
from banyan.knowledge.records import Document, Piece
from banyan.knowledge.sentences import sentences
from banyan.knowledge.split_region import DEFAULT_LIMIT, Region


@dataclass(frozen=True, slots=True, kw_only=True)
class RecursiveSplitter:
    """As few pieces as the limit allows: cut at blocks, else lines, sentences, words."""

    limit: float = DEFAULT_LIMIT

    def cut(self, document: Document) -> list[Piece]:
        return _pieces(document, [], self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSplitter:
    """A piece for each line that is not blank; for logs, poems and lists of one-line facts."""

    limit: float = DEFAULT_LIMIT

    def cut(self, document: Document) -> list[Piece]:
        return _pieces(
            document, (m.end() for m in re.finditer(r"\n\s*", document.text)), self.limit
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparatorSplitter:
    """A piece up to and including each ``separator``, a fixed string such as ``\\n---\\n``."""

    separator: str
    limit: float = DEFAULT_LIMIT

    def __post_init__(self) -> None:
        if not self.separator:
            raise InputError("The separator is empty.", remedy="Name the string to cut after.")

    def cut(self, document: Document) -> list[Piece]:
        pattern = re.escape(self.separator) + r"\s*"
        return _pieces(document, (m.end() for m in re.finditer(pattern, document.text)), self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceWindowSplitter:
    """A piece for every ``window`` sentences, never across a heading.

    The windows do not overlap; neighbours are added back when passages are packed.
    """

    window: int = 3
    limit: float = DEFAULT_LIMIT

    def __post_init__(self) -> None:
        if self.window < 1:
            raise InputError(f"The window is {self.window} sentences.", remedy="Use 1 or more.")

    def cut(self, document: Document) -> list[Piece]:
        outline = Outline.of(document)
        sections = {section.start: section.body for section in outline.sections}
        places, taken, body = [], 0, 0
        for start, _ in sentences(document.text):
            if start in sections:
                places.append(start)
                taken, body = 0, sections[start]
            elif taken == self.window:
                places.append(start)
                taken = 0
            taken += start >= body  # headings ride with the first sentence below them
        return _pieces(document, places, self.limit)


def _pieces(document: Document, places: Iterable[int], limit: float) -> list[Piece]:
    """Pieces that end at ``places`` (ascending), those over the limit cut further."""
    outline, region = Outline.of(document), Region(document, limit)
    length = len(document.text)
    pieces, start = [], 0
    for place in [*(place for place in places if 0 < place < length), length]:
        for end in region.cut(start, place):
            pieces.append(
                Piece(
                    start=start,
                    end=end,
                    heading_path=outline.path_at(start),
                    page=outline.page_at(start),
                )
            )
            start = end
    return pieces
