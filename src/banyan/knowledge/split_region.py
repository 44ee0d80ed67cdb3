"""Cut a stretch of text that is too long: at blocks, else lines, else sentences, else words."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from functools import lru_cache

from banyan.knowledge.language import CJK
from banyan.knowledge.outline import Outline
from banyan.knowledge.records import Block, Document
from banyan.knowledge.sentences import sentences

DEFAULT_LIMIT = 220.0
"""The longest piece, in words of a spaced script: 220 words or 300 CJK characters."""

# Sizes are summed in thirtieths of a word, as integers, so that sums and limits compare exactly.
_WORD, _CJK_CHARACTER = 30, 22
_ATOM = re.compile(f"[{CJK}]|([^\\s{CJK}]{{1,64}})")
_CHARS_PER_WORD = 16
_ENOUGH = 0.5


def weigh(text: str) -> float:
    """The size of ``text`` in words, as every limit here counts it."""
    return sum(_weight(match) for match in _ATOM.finditer(text)) / _WORD


def _weight(atom: re.Match[str]) -> int:
    """A CJK character weighs less than a word; a long run without spaces counts as several."""
    run = atom.group(1)
    return _WORD * (1 + len(run) // _CHARS_PER_WORD) if run else _CJK_CHARACTER


class Region:
    """A document prepared for cutting: sizes and the places where a cut does least harm.

    An atom is a CJK character or a run of at most 64 other characters without white space; no
    cut falls inside one. No cut falls between a heading and what follows, nor inside the first
    two lines of a table (header and rule) or before its first row, unless nothing else fits.
    """

    def __init__(self, document: Document, limit: float) -> None:
        self.document = document
        self.limit = limit
        self._atoms: list[int] = []
        self._before = [0]
        for match in _ATOM.finditer(document.text):
            self._atoms.append(match.start())
            self._before.append(self._before[-1] + _weight(match))
        joined = _joined(document)
        self._blocks = _outside(document.block_starts, joined)
        self._lines = _outside((m.end() for m in re.finditer(r"\n+", document.text)), joined)
        self._sentences = _outside((start for start, _ in sentences(document.text)), joined)

    def size(self, start: int, end: int) -> float:
        first, last = bisect_left(self._atoms, start), bisect_left(self._atoms, end)
        return (self._before[last] - self._before[first]) / _WORD

    def cut(self, start: int, end: int) -> list[int]:
        """Where the pieces of [start, end) end; the last one is ``end``."""
        ends = []
        while start < end:
            is_last = self.size(start, end) <= self._limit_at(start)
            start = end if is_last else self._next(start, end)
            ends.append(start)
        return ends

    def _next(self, start: int, end: int) -> int:
        """The end of the piece that begins at ``start`` and cannot reach ``end``."""
        limit, rest = self._limit_at(start), self.size(start, end)
        # The last two pieces share evenly, so that no crumb is left over.
        goal = limit if rest >= 1.5 * limit else min(limit, 0.55 * rest)
        furthest = min(self._reach(start, goal), end)
        least = self._reach(start, goal * _ENOUGH)
        for places in (self._blocks, self._lines, self._sentences):
            index = bisect_right(places, min(furthest, end - 1)) - 1
            if index >= 0 and places[index] > max(start, least - 1):
                return places[index]
        return furthest

    def _reach(self, start: int, size: float) -> int:
        """The furthest atom start such that [start, it) is no larger than ``size``."""
        first = bisect_left(self._atoms, start)
        last = bisect_right(self._before, self._before[first] + int(size * _WORD)) - 1
        last = max(last, first + 1)
        return self._atoms[last] if last < len(self._atoms) else len(self.document.text)

    def _limit_at(self, start: int) -> float:
        """The limit for a piece that begins here: room is left for a repeated table header."""
        return self.limit - weigh(header_of_table(self.document, start, self.limit))


def header_of_table(document: Document, start: int, limit: float = DEFAULT_LIMIT) -> str:
    """The header row and rule of the table whose inside ``start`` falls in, else nothing.

    A header over half the limit is not repeated: it would leave no room for the rows.
    """
    index = Outline.of(document).block_at(start)
    begin, block = document.block_starts[index], document.blocks[index]
    if block.kind != "table" or start == begin or start >= begin + len(block.text):
        return ""
    return _header(block.text, limit)


@lru_cache(maxsize=16)
def _header(table: str, limit: float) -> str:
    lines = table.split("\n", 2)[:2]
    header = "\n".join(lines)
    return header if len(lines) == 2 and weigh(header) <= limit / 2 else ""


def _joined(document: Document) -> list[tuple[int, int]]:
    """Ranges (start, end] in which no cut should fall: headings and the heads of tables."""
    ranges = []
    for start, block in zip(document.block_starts, document.blocks, strict=True):
        if block.kind == "heading":
            ranges.append((start, start + len(block.text) + 2))
        elif block.kind == "table":
            ranges.append((start, start + _head_length(block)))
    return ranges


def _head_length(table: Block) -> int:
    """Characters up to and including the first character of the row below header and rule."""
    first = table.text.find("\n")
    second = table.text.find("\n", first + 1) if first >= 0 else -1
    return second + 1 if second >= 0 else len(table.text)


def _outside(places: Iterable[int], joined: list[tuple[int, int]]) -> list[int]:
    """The places, ascending, that fall in none of the ranges (start, end]."""
    starts = [start for start, _ in joined]
    kept = []
    for place in places:
        index = bisect_left(starts, place) - 1
        if index < 0 or place > joined[index][1]:
            kept.append(place)
    return kept
