"""Lines of a page back into paragraphs and lists, for formats that keep only lines."""

from __future__ import annotations

import re
from collections.abc import Sequence

from banyan.knowledge.language import CJK

BULLET = re.compile(
    r"\s*(?:[•‣◦▪●○■□▸►–—*+-]|[(（]?(?:\d{1,3}|[a-zA-Z]|[一二三四五六七八九十]{1,3})[.)）、])\s+(?=\S)"
)
"""The beginning of a list item: a bullet, or a number or letter with a dot or bracket."""

_NO_SPACE_BETWEEN = re.compile(f"[{CJK}，。、；：！？）】》」』”]$")
_NO_SPACE_BEFORE = re.compile(f"^[{CJK}，。、；：！？（【《「『“]")
_HYPHEN = re.compile(r"[^\W\d_]{2}-$")


def join_lines(lines: Sequence[str]) -> str:
    """Wrapped lines as one: a space between words, none within Chinese, hyphenation undone."""
    text = ""
    for line in (line.strip() for line in lines):
        if not text or not line:
            text += line
        elif _HYPHEN.search(text) and line[0].isalnum():
            text = (text[:-1] if line[0].islower() else text) + line
        elif _NO_SPACE_BETWEEN.search(text) and _NO_SPACE_BEFORE.search(line):
            text += line
        else:
            text += " " + line
    return text


def list_items(lines: Sequence[str]) -> list[str]:
    """One line per item: a line that begins no item continues the one above."""
    items: list[list[str]] = []
    for line in lines:
        if not items or BULLET.match(line):
            items.append([])
        items[-1].append(line)
    return [join_lines(item) for item in items]
