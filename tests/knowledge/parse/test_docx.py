from __future__ import annotations

import io
import zipfile

import docx
import pytest
from docx.oxml import OxmlElement
from docx.oxml.parser import parse_xml

from banyan.core.errors import BrokenDocument

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def saved(document) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def test_headings_lists_and_tables_come_in_order(blocks):
    document = docx.Document()
    document.add_heading("Title", 0)
    document.add_heading("Part", 1)
    document.add_paragraph("Text.")
    document.add_paragraph("one", style="List Bullet")
    document.add_paragraph("two", style="List Number")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ["A", "B", "1", "2"], strict=True):
        cell.text = text
    document.add_paragraph("After.")
    assert blocks(saved(document), "a.docx") == [
        ("heading", "Title"),
        ("heading", "Part"),
        ("paragraph", "Text."),
        ("list", "- one\n- two"),
        ("table", "| A | B |\n|---|---|\n| 1 | 2 |"),
        ("paragraph", "After."),
    ]


def test_a_short_bold_paragraph_is_a_heading_of_the_last_rank(read):
    document = docx.Document()
    document.add_paragraph().add_run("Opening hours").bold = True
    document.add_paragraph("Nine to five.")
    first = read(saved(document), "a.docx").blocks[0]
    assert (first.kind, first.level) == ("heading", 6)


def test_links_insertions_and_content_controls_are_read_and_deletions_are_not(read):
    document = docx.Document()
    paragraph = document.add_paragraph("Before ")
    for xml in (
        f"<w:hyperlink {W}><w:r><w:t>link </w:t></w:r></w:hyperlink>",
        f"<w:ins {W}><w:r><w:t>inserted </w:t></w:r></w:ins>",
        f"<w:del {W}><w:r><w:delText>deleted</w:delText></w:r></w:del>",
    ):
        paragraph._p.append(parse_xml(xml))
    control = parse_xml(
        f"<w:sdt {W}><w:sdtContent><w:p><w:r><w:t>controlled</w:t></w:r></w:p>"
        "</w:sdtContent></w:sdt>"
    )
    document.element.body.insert(1, control)
    assert read(saved(document), "a.docx").text == "Before link inserted\n\ncontrolled"


def test_merged_cells_are_said_in_each_row(blocks):
    document = docx.Document()
    table = document.add_table(rows=3, cols=2)
    table.cell(0, 0).text, table.cell(0, 1).text = "Kind", "Name"
    table.cell(1, 0).merge(table.cell(2, 0)).text = "tree"
    table.cell(1, 1).text, table.cell(2, 1).text = "oak", "elm"
    [(_, text)] = blocks(saved(document), "a.docx")
    assert text.splitlines()[2:] == ["| tree | oak |", "| tree | elm |"]


def test_page_headers_are_left_out(read):
    document = docx.Document()
    document.sections[0].header.paragraphs[0].text = "CONFIDENTIAL"
    document.add_paragraph("Body.")
    assert read(saved(document), "a.docx").text == "Body."


def test_text_boxes_are_read_once(read):
    document = docx.Document()
    run = document.add_paragraph("Around.").add_run()
    box = OxmlElement("w:txbxContent")
    box.append(parse_xml(f"<w:p {W}><w:r><w:t>boxed</w:t></w:r></w:p>"))
    run._r.append(box)
    text = read(saved(document), "a.docx").text
    assert text == "Around.\n\nboxed"


def test_the_title_property_names_the_document(read):
    document = docx.Document()
    document.core_properties.title = "Handbook"
    document.add_paragraph("x")
    assert read(saved(document), "a.docx").title == "Handbook"


def test_declared_entities_are_refused(read):
    document = docx.Document()
    document.add_paragraph("x")
    bomb = b'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "b">]>'
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(document))) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, bomb + data if name == "word/document.xml" else data)
    with pytest.raises(BrokenDocument, match="entities"):
        read(buffer.getvalue(), "a.docx")
