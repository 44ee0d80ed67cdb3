"""PDF: text in reading order with headings, lists, tables and page numbers. No OCR.

Each page's characters become runs (``pdf_runs``), ruled tables are taken out (``pdf_tables``),
running headers and footers dropped (``pdf_furniture``), the rest put in reading order
(``pdf_order``) and cut into blocks (``pdf_blocks``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from banyan.core.errors import BrokenDocument, EmptyDocument, EncryptedDocument
from banyan.knowledge.language import CJK
from banyan.knowledge.parse.draft import Draft
from banyan.knowledge.parse.lines import join_lines
from banyan.knowledge.parse.pdf_blocks import Style, page_blocks
from banyan.knowledge.parse.pdf_furniture import drop_furniture
from banyan.knowledge.parse.pdf_order import reading_order
from banyan.knowledge.parse.pdf_runs import Page, Run, read_page
from banyan.knowledge.parse.pdf_tables import read_rules, take_out_tables, walls
from banyan.knowledge.records import Block

_SENTENCE_END = re.compile(r"[.!?:;。！？：；…][\"'”’」』)）\]\d]*$")
_CONTINUATION = re.compile(f"[a-zà-öø-ÿ{CJK}]{{2}}")
_POOR_TITLE = re.compile(
    r"^(untitled|microsoft word|document\d*|title|.*\.(docx?|pdf|tex|indd))", re.I
)


def read(file: BinaryIO, draft: Draft) -> None:
    pdf = _open(file, draft)
    if len(pdf) > draft.limits.max_pages:
        raise draft.limits.passed("max_pages", f"{draft.name} has {len(pdf)} pages")
    pages = [_page(pdf, index, draft) for index in range(len(pdf))]
    if not any(page.runs for page in pages):
        raise EmptyDocument(
            f"{draft.name} has no text layer: its {len(pages)} pages are pictures.",
            remedy="Run it through OCR first; OCR is not part of this version.",
        )
    for block in _joined(_blocks(drop_furniture(pages))):
        draft.add(block.kind, block.text, level=block.level, page=block.page)
    draft.title = _title(pdf)


def _blocks(pages: list[list[Run]]) -> Iterator[Block]:
    style = Style.of(pages)
    for number, runs in enumerate(pages, start=1):
        for block in page_blocks(reading_order(runs), style):
            yield replace(block, page=number)


def _joined(blocks: Iterator[Block]) -> Iterator[Block]:
    """The blocks, with what a column or page break cut in two put together again.

    That is a paragraph that ends without a full stop before one that begins in lower case, and
    lists that follow each other. Such a block counts to the page it begins on.
    """
    last: Block | None = None
    for block in blocks:
        if last is not None and (_goes_on(last, block) or last.kind == block.kind == "list"):
            lines = [last.text, block.text]
            text = "\n".join(lines) if block.kind == "list" else join_lines(lines)
            last = replace(last, text=text)
            continue
        if last is not None:
            yield last
        last = block
    if last is not None:
        yield last


def _goes_on(one: Block, other: Block) -> bool:
    if one.kind not in ("paragraph", "list") or other.kind != "paragraph":
        return False
    return not _SENTENCE_END.search(one.text) and bool(_CONTINUATION.match(other.text))


def _open(file: BinaryIO, draft: Draft) -> pdfium.PdfDocument:
    try:
        return pdfium.PdfDocument(file)
    except pdfium.PdfiumError as error:
        if getattr(error, "err_code", None) == pdfium_c.FPDF_ERR_PASSWORD:
            raise EncryptedDocument(
                f"{draft.name} is protected by a password.", remedy="Save it without a password."
            ) from None
        raise BrokenDocument(
            f"{draft.name} is a damaged PDF.", remedy="Open it in a PDF viewer and print it anew."
        ) from None


def _page(pdf: pdfium.PdfDocument, index: int, draft: Draft) -> Page:
    """One page; one that cannot be opened is a broken document, not a gap."""
    try:
        page = pdf[index]
        text = page.get_textpage()
    except pdfium.PdfiumError:
        raise BrokenDocument(f"{draft.name}: page {index + 1} is damaged.") from None
    try:
        rules = read_rules(page)
        read = read_page(text, page.get_mediabox(), walls(rules))
        draft.count("".join(run.text for run in read.runs))
        return replace(read, runs=take_out_tables(read.runs, rules))
    finally:
        text.close()
        page.close()


def _title(pdf: pdfium.PdfDocument) -> str:
    """The title in the metadata, unless it is what programs put there by themselves."""
    title: str = pdf.get_metadata_dict().get("Title", "").strip()
    return "" if _POOR_TITLE.match(title) or len(title) < 4 else title
