"""HTML: the main content of a page as blocks; menus, scripts, banners and styles left out."""

from __future__ import annotations

import re
from typing import BinaryIO

from selectolax.lexbor import LexborHTMLParser, LexborNode

from banyan.knowledge.parse.draft import Draft
from banyan.knowledge.parse.encoding import decode
from banyan.knowledge.parse.html_walk import add_nodes

_NEVER_CONTENT = (
    "script, style, noscript, template, iframe, object, svg, canvas, button, select, textarea, "
    "input, dialog"
)
_HIDDEN = "[hidden], [aria-hidden='true']"
_AROUND_CONTENT = (
    "nav, footer, aside, [role=navigation], [role=banner], [role=contentinfo], [role=search], "
    "[role=dialog], [id*=cookie], [class*=cookie], [class*=consent], [class*=breadcrumb], "
    "[class*=sidebar], [id*=sidebar], [class*=newsletter]"
)
_MAIN = "main, [role=main], article"
_MAIN_SHARE = 0.4
_KEPT_SHARE = 0.2
_DECLARED = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?\s*([\w-]{2,20})""", re.I)


def read(file: BinaryIO, draft: Draft) -> None:
    add_html(decode_html(file.read(), draft.name), draft)


def decode_html(data: bytes, name: str) -> str:
    """The page's text in the encoding it declares, where that works, else by its bytes."""
    declared = _DECLARED.search(data[:4096])
    if declared and not data.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        try:
            return data.decode(declared[1].decode("ascii"))
        except (LookupError, UnicodeDecodeError):
            pass
    return decode(data, name)


def add_html(text: str, draft: Draft, *, whole: bool = False, page: int | None = None) -> None:
    """Append the blocks of a page; ``whole`` keeps what surrounds the content (books, Markdown)."""
    tree = LexborHTMLParser(text)
    title = tree.css_first("title")
    if title is not None and not draft.title:
        draft.title = title.text()
    tree.strip_tags(_NEVER_CONTENT.split(", "))
    body = tree.body or tree.root
    if body is not None:
        hidden = {node.mem_id for node in body.css(_HIDDEN)}
        content = body if whole else _content(body)
        around = set() if whole else _around(content)
        add_nodes(content, draft, page, hidden | around)


def _content(body: LexborNode) -> LexborNode:
    """The innermost element that says it is the content and holds much of the text."""
    everything = _length(body)
    main = [node for node in body.css(_MAIN) if _length(node) >= _MAIN_SHARE * everything]
    return main[-1] if main else body


def _around(content: LexborNode) -> set[int]:
    """The nodes inside ``content`` that only surround it; none where they are nearly all of it."""
    around = content.css(_AROUND_CONTENT)
    around += [node for node in content.css("header") if node.css_first("nav, form, h1") is None]
    length = sum(_length(node) for node in around)
    is_most = length > (1 - _KEPT_SHARE) * _length(content)
    return set() if is_most else {node.mem_id for node in around}


def _length(node: LexborNode) -> int:
    return len(node.text(deep=True))
