"""Running headers, footers and page numbers: what stands at the same edge of many pages."""

from __future__ import annotations

import re
from collections import Counter

from banyan.knowledge.parse.pdf_order import Line, lines_of
from banyan.knowledge.parse.pdf_runs import Page, Run

_MARGIN = 0.085  # just under an inch, where text usually begins
_LEAST_PAGES = 3
_PAGE_SHARE = 0.25
_GRAIN = 4.0
_DIGITS = re.compile(r"\d+|\b[ivxlc]+\b", re.IGNORECASE)

Key = tuple[str, int]


def drop_furniture(pages: list[Page]) -> list[list[Run]]:
    """The runs of each page without lines that repeat in the margin of a quarter of the pages.

    Digits may differ, for page numbers do. Where such a line holds letters its first appearance
    stays: it may say whose document it is.
    Fewer than three repetitions are not taken for furniture.
    """
    margins = [_margin_lines(page) for page in pages]
    counts = Counter(key for lines in margins for key in {_key(line) for line in lines})
    needed = max(_LEAST_PAGES, _PAGE_SHARE * len(pages))
    repeated = {key for key, count in counts.items() if count >= needed}
    shown: set[Key] = set()
    kept = []
    for page, lines in zip(pages, margins, strict=True):
        dropped: set[int] = set()
        for line in lines:
            key = _key(line)
            if key in repeated and (key in shown or not re.search(r"[^\W\d_]{3}", key[0])):
                dropped.update(id(run) for run in line.runs)
            shown.add(key)
        kept.append([run for run in page.runs if id(run) not in dropped])
    return kept


def _margin_lines(page: Page) -> list[Line]:
    margin = _MARGIN * (page.top - page.bottom)
    lowest, highest = page.bottom + margin, page.top - margin
    in_margin = [run for run in page.runs if not lowest <= run.middle[1] <= highest]
    return lines_of([run for run in in_margin if not run.rotated])


def _key(line: Line) -> Key:
    return _DIGITS.sub("#", line.text).strip(), round(line.bottom / _GRAIN)
