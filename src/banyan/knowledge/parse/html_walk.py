"""An HTML tree as blocks in reading order, without recursion: pages may nest without end."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from selectolax.lexbor import LexborNode

from banyan.knowledge.parse.draft import Draft
from banyan.knowledge.parse.tables import markdown_table

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = frozenset(  # table parts are here for tables that lay out other blocks
    ["address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details"]
).union(
    ["dialog", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "header"],
    ["hgroup", "hr", "html", "legend", "main", "nav", "p", "section", "summary", "td", "th", "tr"],
)
_LISTS = frozenset(["ul", "ol", "menu"])
_INDENT = "  "
_MAX_INDENT = 8


@dataclass(slots=True)
class _List:
    ordered: bool
    count: int = 0


@dataclass(slots=True)
class _Walk:
    """Inline text gathers in ``inline`` until an element ends the block it belongs to."""

    draft: Draft
    page: int | None
    inline: list[str] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    lists: list[_List] = field(default_factory=list)

    def flush(self) -> None:
        """The gathered text becomes a paragraph, or the continuation of a list item."""
        text = "".join(self.inline).strip()
        self.inline.clear()
        if not text:
            return
        if self.lists:
            self.items.append(self._indent() + _INDENT + text if self.items else text)
        else:
            self.draft.add("paragraph", text, page=self.page)

    def break_line(self) -> None:
        """One break is a line's end; two in a row part paragraphs, as old pages do it."""
        while self.inline and not self.inline[-1].strip(" "):
            self.inline.pop()
        if self.inline and self.inline[-1] == "\n" and not self.lists:
            self.flush()
        else:
            self.inline.append("\n")

    def begin_item(self) -> None:
        self.flush()
        if not self.lists:
            self.lists.append(_List(ordered=False))
        current = self.lists[-1]
        current.count += 1
        self.inline.append(f"{current.count}. " if current.ordered else "- ")

    def end_item(self) -> None:
        text = "".join(self.inline).strip()
        self.inline.clear()
        if text not in ("", "-") and not text.rstrip(".").isdigit():
            self.items.append(self._indent() + text)

    def end_list(self) -> None:
        self.flush()
        if self.lists:
            self.lists.pop()
        if not self.lists:
            self.end_items()

    def end_items(self) -> None:
        self.draft.add("list", "\n".join(self.items), page=self.page)
        self.items.clear()

    def _indent(self) -> str:
        return _INDENT * min(len(self.lists) - 1, _MAX_INDENT)


def add_nodes(
    root: LexborNode, draft: Draft, page: int | None = None, skipped: Set[int] = frozenset()
) -> None:
    """Append the blocks under ``root`` but for nodes whose ``mem_id`` is in ``skipped``."""
    walk = _Walk(draft, page)
    stack: list[tuple[LexborNode, bool]] = [(root, False)]
    while stack:
        node, is_leaving = stack.pop()
        if is_leaving:
            _leave(walk, node.tag or "")
        elif node.mem_id not in skipped and _enter(walk, node):
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(list(node.iter(include_text=True))))
    walk.lists.clear()
    walk.flush()
    walk.end_items()


def _enter(walk: _Walk, node: LexborNode) -> bool:
    """Take the node; False where its children need no visit."""
    tag = node.tag or ""
    if tag == "-text":
        walk.inline.append(_squeeze(node.text_content or ""))
        return False
    if tag == "br":
        walk.break_line()
        return False
    if tag in _HEADINGS or tag == "pre" or tag == "table":
        return _enter_whole(walk, node, tag)
    if tag in _LISTS:
        walk.end_item() if walk.lists else walk.flush()
        walk.lists.append(_List(ordered=tag == "ol"))
    elif tag == "li":
        walk.begin_item()
    elif tag in _BLOCKS and not _leads_an_item(walk):
        walk.flush()
    return True


def _leads_an_item(walk: _Walk) -> bool:
    """Whether nothing but the bullet was gathered: the block's text belongs beside it."""
    return bool(walk.lists) and "".join(walk.inline).strip(" 0123456789.-") == ""


def _enter_whole(walk: _Walk, node: LexborNode, tag: str) -> bool:
    """Headings, code and tables are read as a whole; a table for layout is walked instead."""
    rows = _rows(node) if tag == "table" else []
    if tag == "table" and not rows:
        walk.flush()
        return True
    walk.flush()
    if walk.items and not walk.lists:
        walk.end_items()
    if walk.lists:
        walk.end_items()
    if tag == "pre":
        walk.draft.add("code", node.text(deep=True), page=walk.page)
    elif tag == "table":
        walk.draft.add("table", markdown_table(rows), page=walk.page)
    else:
        text = _squeeze(node.text(deep=True, separator=""))
        walk.draft.add("heading", text, level=_HEADINGS[tag], page=walk.page)
    return False


def _leave(walk: _Walk, tag: str) -> None:
    if tag == "li":
        walk.end_item()
    elif tag in _LISTS:
        walk.end_list()
    elif tag in _BLOCKS and not _leads_an_item(walk):
        walk.flush()


def _rows(table: LexborNode) -> list[list[str]]:
    """The cells of a data table; empty for one that lays out other blocks, or has one column."""
    if table.css_first("table table, h1, h2, h3, ul li p, pre") is not None:
        return []
    rows = [
        [_squeeze(cell.text(deep=True, separator=" ")) for cell in row.css("td, th")]
        for row in table.css("tr")
    ]
    return rows if any(len(row) > 1 for row in rows) else []


def _squeeze(text: str) -> str:
    """White space as HTML shows it: one space for any run."""
    squeezed = " ".join(text.split())
    if not squeezed:
        return " " if text else ""
    before = " " if text[0].isspace() else ""
    after = " " if text[-1].isspace() else ""
    return before + squeezed + after
