from __future__ import annotations

import io
import zipfile

import pytest

from banyan.core.errors import BrokenDocument, EncryptedDocument

CONTAINER = """<?xml version="1.0"?><container
 xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
 <rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/>
 </rootfiles></container>"""
PACKAGE = """<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf">
 <metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Two Trees</dc:title></metadata>
 <manifest>
  <item id="b" href="second%20part.xhtml" media-type="application/xhtml+xml"/>
  <item id="a" href="first.xhtml" media-type="application/xhtml+xml"/>
  <item id="c" href="cover.png" media-type="image/png"/>
 </manifest>
 <spine><itemref idref="c"/><itemref idref="a"/><itemref idref="b"/></spine></package>"""


def chapter(title: str, text: str) -> str:
    return f"<html><head><title>x</title></head><body><h1>{title}</h1><p>{text}</p></body></html>"


def book(**changes: str) -> bytes:
    members = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER,
        "OEBPS/book.opf": PACKAGE,
        "OEBPS/first.xhtml": chapter("Oak", "It stands."),
        "OEBPS/second part.xhtml": chapter("Elm", "It fell."),
    } | {name.replace("__", "/").replace("_", "."): text for name, text in changes.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def test_chapters_follow_the_spine(read):
    document = read(book(), "a.epub")
    assert document.title == "Two Trees"
    assert document.text == "Oak\n\nIt stands.\n\nElm\n\nIt fell."


def test_a_missing_chapter_and_entities_are_broken(read):
    with pytest.raises(BrokenDocument, match="missing"):
        read(book(OEBPS__book_opf=PACKAGE.replace("first", "gone")), "a.epub")
    bomb = PACKAGE.replace("<package", '<!DOCTYPE p [<!ENTITY a "b">]><package', 1)
    with pytest.raises(BrokenDocument, match="entities"):
        read(book(OEBPS__book_opf=bomb), "a.epub")


def test_a_protected_book_says_so(read):
    listing = "<e><enc:EncryptedData></enc:EncryptedData></e>"
    with pytest.raises(EncryptedDocument, match="DRM"):
        read(book(**{"META-INF__encryption_xml": listing}), "a.epub")
