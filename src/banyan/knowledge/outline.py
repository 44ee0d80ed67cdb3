"""The outline of a document: which headings stand above each place in its text."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache

from banyan.knowledge.records import Document, Piece

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A run of headings and the blocks below it, as the half-open range [start, end).

    ``body`` is where the first block that is no heading begins (``end`` where there is none);
    ``path`` ends with the section's own heading. Text before the first heading has path ``()``.
    """

    start: int
    body: int
    end: int
    path: Path


class Outline:
    """Sections and block positions of one document, computed once."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._starts = document.block_starts
        self._paths = _paths(document)
        self.sections = self._find_sections()

    @classmethod
    def of(cls, document: Document) -> Outline:
        """The outline of ``document``; the last few are kept."""
        return _outline(_Identity(document))

    def block_at(self, position: int) -> int:
        """The index of the block that ``position`` falls in (or whose separator it falls in)."""
        return max(bisect_right(self._starts, position) - 1, 0)

    def path_at(self, position: int) -> Path:
        return self._paths[self.block_at(position)]

    def page_at(self, position: int) -> int | None:
        return self._document.blocks[self.block_at(position)].page

    def after_headings(self, piece: Piece) -> int:
        """Where ``piece`` begins once leading headings that its path names are skipped."""
        position = piece.start
        while position < piece.end:
            index = self.block_at(position)
            block = self._document.blocks[index]
            at_start = self._starts[index] == position
            if not at_start or block.kind != "heading" or block.text not in piece.heading_path:
                break
            position = min(position + len(block.text) + 2, piece.end)
        return position

    def _find_sections(self) -> list[Section]:
        document, starts = self._document, [*self._starts, len(self._document.text)]
        sections: list[Section] = []
        first = 0
        while first < len(document.blocks):
            body = first
            while body < len(document.blocks) and document.blocks[body].kind == "heading":
                body += 1
            last = body
            while last < len(document.blocks) and document.blocks[last].kind != "heading":
                last += 1
            path = self._paths[body - 1] if body > first else ()
            sections.append(
                Section(start=starts[first], body=starts[body], end=starts[last], path=path)
            )
            first = last
        return sections


class _Identity:
    """A document as a cache key: by identity, because hashing its text would cost more."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def __hash__(self) -> int:
        return id(self.document)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.document is self.document


@lru_cache(maxsize=4)
def _outline(key: _Identity) -> Outline:
    return Outline(key.document)


def _paths(document: Document) -> list[Path]:
    """For each block the headings above it, a heading's own text included."""
    open_headings: list[tuple[int, str]] = []
    paths = []
    for block in document.blocks:
        if block.kind == "heading":
            while open_headings and open_headings[-1][0] >= block.level:
                open_headings.pop()
            open_headings.append((block.level, block.text))
        paths.append(tuple(text for _, text in open_headings))
    return paths
