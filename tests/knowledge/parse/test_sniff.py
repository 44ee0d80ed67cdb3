from __future__ import annotations

import io
import zipfile

import pytest

from banyan.core.errors import EncryptedDocument, MismatchedType, UnsupportedFormat
from banyan.knowledge.parse.sniff import sniff


def archive(*members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for member in members:
            file.writestr(member, "x")
    return buffer.getvalue()


def name_of(data: bytes, name: str) -> str:
    return sniff(io.BytesIO(data), name).name


@pytest.mark.parametrize(
    ("data", "name", "format_name"),
    [
        (b"%PDF-1.7 ...", "x", "pdf"),
        (b"\n\n%PDF-1.4", "x.pdf", "pdf"),
        (archive("word/document.xml"), "x.docx", "docx"),
        (archive("ppt/presentation.xml"), "no-suffix", "pptx"),
        (archive("xl/workbook.xml"), "x.xlsm", "xlsx"),
        (archive("META-INF/container.xml", "a.opf"), "x.epub", "epub"),
        (b"<!DOCTYPE html><p>", "x.txt", "html"),
        (b"<html><p>", "saved page", "html"),
        (b"a,b\n1,2", "x.csv", "csv"),
        (b"a,b\n1,2", "x.txt", "text"),
        (b"# a", "x.md", "markdown"),
        (b"{}", "x.json", "jsonl"),
        (b"From: a@b.c\nSubject: hi\nMIME-Version: 1.0\n\nhello", "message", "email"),
        (b"From: a@b.c\nSubject: hi\n\nhello", "x.eml", "email"),
        (b"x = 1\n", "x.py", "text"),
        ("中文".encode("gb18030"), "x.txt", "text"),
    ],
)
def test_content_and_name_together_give_the_format(data, name, format_name):
    assert name_of(data, name) == format_name


@pytest.mark.parametrize(
    ("data", "name", "really"),
    [
        (archive("xl/workbook.xml"), "x.docx", "an Excel workbook"),
        (b"plain words", "x.pdf", "plain text"),
        (b"plain words", "x.png", "plain text"),
        (b"MZ\x90\x00" + bytes(100), "x.txt", "a Windows program"),
        (b"\x7fELF\x02\x01" + bytes(100), "x.html", "a program"),
        (archive("a.txt"), "x.docx", "a ZIP archive"),
        (b"{\\rtf1 hello}", "x.docx", "an RTF document"),
    ],
)
def test_a_lying_name_is_told_what_the_content_really_is(data, name, really):
    with pytest.raises(MismatchedType, match=f"holds {really}"):
        name_of(data, name)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(90), "x.png"),
        (archive("a.txt"), "x.zip"),
        (b"{\\rtf1 hello}", "x.rtf"),
        (bytes(range(256)), "x"),
        (b"\x00\x00\x00\x20ftypisom" + bytes(90), "x.mp4"),
    ],
)
def test_formats_that_are_not_read_say_so_with_a_remedy(data, name):
    with pytest.raises(UnsupportedFormat) as caught:
        name_of(data, name)
    assert caught.value.remedy


def test_an_office_file_behind_a_password_is_encrypted(compound_file):
    with pytest.raises(EncryptedDocument):
        name_of(compound_file("EncryptedPackage"), "x.docx")


def test_a_legacy_office_file_is_named(compound_file):
    with pytest.raises(UnsupportedFormat, match="legacy Word"):
        name_of(compound_file("WordDocument"), "x.doc")
