"""The default splitter: by section, long sections cut further, small neighbours put together."""

from __future__ import annotations

from dataclasses import dataclass, replace

from banyan.knowledge.outline import Outline, Path, Section
from banyan.knowledge.records import Document, Piece
from banyan.knowledge.split_region import DEFAULT_LIMIT, Region


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadingSplitter:
    """Pieces of at most ``limit`` words (see ``split_region``), none crossing a large section.

    Neighbouring sections with a heading in common become one piece when either is under a
    quarter of the limit and together they fit.
    """

    limit: float = DEFAULT_LIMIT

    def cut(self, document: Document) -> list[Piece]:
        outline, region = Outline.of(document), Region(document, self.limit)
        pieces = []
        for section in self._merged(outline.sections, region):
            start = section.start
            for end in region.cut(start, section.end):
                pieces.append(
                    Piece(
                        start=start,
                        end=end,
                        heading_path=section.path,
                        page=outline.page_at(start),
                    )
                )
                start = end
        return pieces

    def _merged(self, sections: list[Section], region: Region) -> list[Section]:
        merged: list[Section] = []
        for section in sections:
            if merged and self._belong_together(merged[-1], section, region):
                path = _common(merged[-1].path, section.path)
                merged[-1] = replace(merged[-1], end=section.end, path=path)
            else:
                merged.append(section)
        return merged

    def _belong_together(self, above: Section, below: Section, region: Region) -> bool:
        if below.body == below.end:  # headings with nothing under them, at the very end
            return region.size(above.start, below.end) <= self.limit
        small = self.limit / 4
        is_small = min(region.size(above.start, above.end), region.size(below.start, below.end))
        fits = region.size(above.start, below.end) <= self.limit
        return is_small <= small and fits and _are_related(above.path, below.path)


def _are_related(above: Path, below: Path) -> bool:
    """Under one heading, or text before the first heading and what follows it."""
    return not above or bool(_common(above, below))


def _common(one: Path, other: Path) -> Path:
    shared = 0
    while shared < min(len(one), len(other)) and one[shared] == other[shared]:
        shared += 1
    return one[:shared]
