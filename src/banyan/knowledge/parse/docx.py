"""Word documents: the body in order, with headings, lists, tables, text boxes and footnotes.

Page headers and footers are left out, and so is what tracked changes deleted. Word keeps no page
numbers: they depend on the printer, so blocks have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

import docx
from docx.document import Document as WordDocument
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.oxml.ns import qn
from lxml import etree
from lxml.etree import _Element as Element

from banyan.knowledge.parse.archive import check_office_file
from banyan.knowledge.parse.draft import Draft
from banyan.knowledge.parse.tables import markdown_table

_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_HEADING = re.compile(r"(?:heading|标题|標題|titre|überschrift)\s*(\d)", re.IGNORECASE)
_CODE = re.compile(r"code|preformatted|源代码", re.IGNORECASE)
_CONTAINERS = frozenset(
    qn(name) for name in ("w:sdt", "w:sdtContent", "w:customXml", "w:ins", "w:smartTag", "w:body")
)
_PARAGRAPH, _TABLE, _ROW, _CELL = qn("w:p"), qn("w:tbl"), qn("w:tr"), qn("w:tc")
_TEXT, _TAB, _BREAKS = qn("w:t"), qn("w:tab"), (qn("w:br"), qn("w:cr"))
_TEXT_BOX, _VALUE = qn("w:txbxContent"), qn("w:val")
_HIDDEN = (
    qn("w:del"),
    qn("w:moveFrom"),
    _TEXT_BOX,
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",
)
_MAX_INDENT = 8
_EMPHASISED = 6
_MOST_EMPHASISED_CHARS = 80
_SENTENCE_END = re.compile(r"[.!?:;,。！？：；，]\s*$")


def read(file: BinaryIO, draft: Draft) -> None:
    check_office_file(file, draft.name)
    document = docx.Document(file)
    draft.title = document.core_properties.title or ""
    reader = _Reader(document, draft)
    reader.add(document.element.body)
    reader.flush_list()
    for note in _footnotes(document):
        draft.add("paragraph", note)


class _Reader:
    """Walks the body; the items of a list gather until something else comes."""

    def __init__(self, document: WordDocument, draft: Draft) -> None:
        self._draft = draft
        self._styles = {style.style_id: style for style in document.styles}
        self._items: list[str] = []

    def add(self, container: Element) -> None:
        for element in container:
            if element.tag == _PARAGRAPH:
                self._add_paragraph(element)
            elif element.tag == _TABLE:
                self._add_table(element)
            elif element.tag in _CONTAINERS:
                self.add(element)

    def flush_list(self) -> None:
        self._draft.add("list", "\n".join(self._items))
        self._items.clear()

    def _add_paragraph(self, paragraph: Element) -> None:
        text = _text_of(paragraph)
        level, kind = self._level(paragraph), self._style_name(paragraph)
        level = level or _EMPHASISED * _is_emphasised(paragraph, text)
        is_item = _is_list_item(paragraph, kind) and level in (0, _EMPHASISED)
        if is_item and text.strip():
            indent = "  " * min(_list_depth(paragraph), _MAX_INDENT)
            self._items.append(f"{indent}- {text.strip()}")
        else:
            self.flush_list()
            if level:
                self._draft.add("heading", text, level=level)
            else:
                self._draft.add("code" if _CODE.search(kind) else "paragraph", text)
        for box in paragraph.iter(_TEXT_BOX):
            if not any(ancestor.tag == _HIDDEN[-1] for ancestor in box.iterancestors()):
                self.flush_list()
                self.add(box)

    def _add_table(self, table: Element) -> None:
        self.flush_list()
        rows = _rows(table)
        if rows and max(len(row) for row in rows) > 1:
            self._draft.add("table", markdown_table(rows))
        else:  # one column: a frame around text
            for cell in table.iter(_CELL):
                self.add(cell)

    def _style_name(self, paragraph: Element) -> str:
        style = self._styles.get(_value(paragraph, "w:pPr/w:pStyle"))
        return str(style.name) if style is not None and style.name else ""

    def _level(self, paragraph: Element) -> int:
        """1-6 for a heading, by the outline level or the name of its style or of one it is from."""
        own = _value(paragraph, "w:pPr/w:outlineLvl")
        if own.isdigit() and int(own) < 9:
            return int(own) + 1
        style = self._styles.get(_value(paragraph, "w:pPr/w:pStyle"))
        for _ in range(10):
            if style is None:
                break
            name = style.name or ""
            if match := _HEADING.match(name):
                return int(match[1])
            if name.lower() == "title":
                return 1
            outline = _value(style.element, "w:pPr/w:outlineLvl")
            if outline.isdigit() and int(outline) < 9:
                return int(outline) + 1
            style = getattr(style, "base_style", None)
        return 0


def _value(element: Element, path: str) -> str:
    found = element.find(path, {"w": _W})
    return str(found.get(_VALUE) or "") if found is not None else ""


def _is_emphasised(paragraph: Element, text: str) -> bool:
    """A short paragraph wholly in bold: what many authors use for a heading."""
    if not 0 < len(text.strip()) <= _MOST_EMPHASISED_CHARS or _SENTENCE_END.search(text):
        return False
    if any(ancestor.tag == _CELL for ancestor in paragraph.iterancestors()):
        return False
    runs = [run for run in paragraph.iter(qn("w:r")) if _text_of(run).strip()]
    bolds = [run.find(f"{{{_W}}}rPr/{{{_W}}}b") for run in runs]
    return bool(bolds) and all(b is not None and b.get(_VALUE) not in ("0", "false") for b in bolds)


def _is_list_item(paragraph: Element, style_name: str) -> bool:
    number = _value(paragraph, "w:pPr/w:numPr/w:numId")
    return number not in ("", "0") or style_name.lower().startswith("list ")


def _list_depth(paragraph: Element) -> int:
    depth = _value(paragraph, "w:pPr/w:numPr/w:ilvl")
    return int(depth) if depth.isdigit() else 0


def _text_of(element: Element) -> str:
    return "".join(_texts(element))


def _texts(root: Element) -> Iterator[str]:
    """The visible text under ``root``, without recursion: Word nests runs without end."""
    stack = [root]
    while stack:
        element = stack.pop()
        if element.tag == _TEXT:
            yield element.text or ""
        elif element.tag == _TAB:
            yield "\t"
        elif element.tag in _BREAKS:
            yield "\n"
        elif element.tag not in _HIDDEN and not str(element.tag).endswith("}tabs"):
            stack.extend(reversed(element))


def _rows(table: Element) -> list[list[str]]:
    """The cells' text; a cell over several rows is said in each, one over columns only once."""
    rows: list[list[str]] = []
    for row in _own(table, _ROW):
        cells: list[str] = []
        for cell in _own(row, _CELL):
            text = " ".join(_text_of(paragraph) for paragraph in cell.iter(_PARAGRAPH))
            merge = cell.find(f"{{{_W}}}tcPr/{{{_W}}}vMerge")
            is_continued = merge is not None and merge.get(_VALUE) != "restart"
            if is_continued and rows and len(cells) < len(rows[-1]):
                text = rows[-1][len(cells)]
            cells.append(text)
            span = _value(cell, "w:tcPr/w:gridSpan")
            cells.extend([""] * (min(int(span), 1000) - 1 if span.isdigit() else 0))
        rows.append(cells)
    return rows


def _own(parent: Element, tag: str) -> Iterator[Element]:
    """The children of that kind, also inside content controls, not those of nested tables."""
    for child in parent:
        if child.tag == tag:
            yield child
        elif child.tag in _CONTAINERS:
            yield from _own(child, tag)


def _footnotes(document: WordDocument) -> Iterator[str]:
    for kind in (RELATIONSHIP_TYPE.FOOTNOTES, RELATIONSHIP_TYPE.ENDNOTES):
        for relation in document.part.rels.values():
            if relation.reltype != kind or relation.is_external:
                continue
            parser = etree.XMLParser(resolve_entities=False, no_network=True)
            for note in etree.fromstring(relation.target_part.blob, parser):
                if note.get(qn("w:type")) is None:  # the typed ones are separators
                    yield _text_of(note)
