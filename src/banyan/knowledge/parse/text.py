"""Plain text: paragraphs at blank lines, hard-wrapped lines joined, lists and chapters seen."""

from __future__ import annotations

import re
from statistics import median
from typing import BinaryIO

from banyan.knowledge.parse.draft import Draft
from banyan.knowledge.parse.encoding import decode
from banyan.knowledge.parse.lines import BULLET, join_lines, list_items

_BLANK = re.compile(r"\n[ \t\u3000]*\n\s*?(?=[^\n])")
_CHAPTER = re.compile(
    r"(?:chapter|part|book|appendix)\s+(?:\d+|[ivxlc]+)\b.{0,80}|第[\d一二三四五六七八九十百零〇]{1,5}[章节節回部篇卷].{0,40}",
    re.IGNORECASE,
)
_LIST_SHARE = 0.5
_LEAST_WRAP, _MOST_WRAP = 40, 160


def read(file: BinaryIO, draft: Draft) -> None:
    add_text(decode(file.read(), draft.name), draft)


def add_text(text: str, draft: Draft) -> None:
    """Append the paragraphs of ``text``; also for the plain bodies of e-mails."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n")
    for paragraph in _BLANK.split(text):
        lines = [line.rstrip() for line in paragraph.split("\n") if line.strip()]
        if lines:
            _add_paragraph(lines, draft)


def _add_paragraph(lines: list[str], draft: Draft) -> None:
    if len(lines) == 1 and _CHAPTER.fullmatch(lines[0].strip()):
        draft.add("heading", lines[0], level=1)
    elif sum(bool(BULLET.match(line)) for line in lines) > _LIST_SHARE * len(lines) and lines[1:]:
        draft.add("list", "\n".join(list_items(lines)))
    elif _is_wrapped(lines):
        draft.add("paragraph", join_lines(lines))
    else:
        draft.add("paragraph", "\n".join(lines))


def _is_wrapped(lines: list[str]) -> bool:
    """Whether an editor broke these lines at a margin: all but the last are about as long."""
    lengths = [len(line) for line in lines[:-1]]
    if not lengths or not _LEAST_WRAP <= max(lengths) <= _MOST_WRAP:
        return False
    return median(lengths) >= 0.75 * max(lengths) and min(lengths) >= 0.4 * max(lengths)
