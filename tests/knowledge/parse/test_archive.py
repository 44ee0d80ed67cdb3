from __future__ import annotations

import io
import zipfile

import pytest

from banyan.core.errors import EncryptedDocument, ParserLimit
from banyan.knowledge.parse import archive


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def test_a_bomb_is_refused_by_its_ratio_before_it_is_unpacked(read):
    bomb = zipped({"word/document.xml": bytes(40 << 20)})
    with pytest.raises(ParserLimit, match="max_compression_ratio"):
        read(bomb, "bomb.docx")


def test_what_would_unpack_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 100)
    with pytest.raises(ParserLimit, match="max_unpacked_bytes = 100"):
        archive.open_archive(io.BytesIO(zipped({"a": b"x" * 200})), "a.zip")


def test_too_many_members_are_refused(monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBERS", 2)
    members = {str(number): b"" for number in range(3)}
    with pytest.raises(ParserLimit, match="max_archive_members"):
        archive.open_archive(io.BytesIO(zipped(members)), "a.zip")


def test_a_member_that_lies_about_its_size_yields_no_more_than_it_said(read):
    data = bytearray(zipped({"xl/workbook.xml": b"<x/>" * 1000}))
    data = data.replace((4000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    with zipfile.ZipFile(io.BytesIO(data)) as file, pytest.raises(zipfile.BadZipFile):
        file.read("xl/workbook.xml")


def test_an_encrypted_member_is_an_encrypted_document():
    data = bytearray(zipped({"word/document.xml": b"x"}))
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= 1
    with pytest.raises(EncryptedDocument):
        archive.open_archive(io.BytesIO(bytes(data)), "a.docx")


def test_entities_hidden_in_utf16_are_seen(read):
    xml = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY b "c">]><a/>'.encode(
        "utf-16"
    )
    with pytest.raises(Exception, match="entities"):
        archive.refuse_declarations(xml, "a.docx")
