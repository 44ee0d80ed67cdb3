"""Markdown (CommonMark with tables): rendered to HTML in memory, then read like a page."""

from __future__ import annotations

import re
from typing import BinaryIO

from markdown_it import MarkdownIt

from banyan.knowledge.parse.draft import Draft
from banyan.knowledge.parse.encoding import decode
from banyan.knowledge.parse.html import add_html

_MAX_NESTING = 100  # quotes and lists in each other; what is deeper is not rendered
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_TITLE = re.compile(r"""^title:[ \t]*["']?(.+?)["']?[ \t]*$""", re.MULTILINE)


def read(file: BinaryIO, draft: Draft) -> None:
    text = decode(file.read(), draft.name).replace("\r\n", "\n")
    front = _FRONT_MATTER.match(text)
    if front:
        title = _TITLE.search(front[1])
        draft.title = title[1] if title else ""
        text = text[front.end() :]
    markdown = MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING}).enable("table")
    add_html(markdown.render(text), draft, whole=True)
