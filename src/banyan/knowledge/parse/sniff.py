"""What a file is, by its content; its name is a claim that content must bear out.

A name that lies about a binary format is an error: what the person meant to add is not there.
Between text formats the name decides (a Markdown file may look like anything), except that
unmistakable HTML is read as HTML whatever text it is called.
"""

from __future__ import annotations

import os
import re
import zipfile
from typing import BinaryIO

from banyan.core.errors import (
    BrokenDocument,
    EncryptedDocument,
    MismatchedType,
    UnsupportedFormat,
)
from banyan.knowledge.parse.encoding import is_text
from banyan.knowledge.parse.formats import (
    BY_SUFFIX,
    FORMATS,
    UNREADABLE_MAGIC,
    UNREADABLE_SUFFIXES,
    Format,
)

HEAD_BYTES = 8192
_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b", re.I | re.S
)
_MAIL_HEADER = re.compile(rb"(?:From |[A-Za-z][A-Za-z0-9-]{1,40}:)")
_MAIL_SURE = re.compile(
    rb"^(?:Received|Message-ID|MIME-Version|Return-Path|Delivered-To|From):", re.I | re.M
)
_REMEDY = "Save it as PDF, DOCX, HTML or plain text."


def sniff(file: BinaryIO, name: str) -> Format:
    """The format to read ``file`` as; the file is left at its beginning.

    Raises ``MismatchedType``, ``UnsupportedFormat``, ``EncryptedDocument`` or ``BrokenDocument``.
    """
    head = file.read(HEAD_BYTES)
    suffix = os.path.splitext(name)[1].lower()
    claimed = BY_SUFFIX.get(suffix)
    try:
        found = _binary(file, head, name)
        if isinstance(found, Format) and not found.is_text:
            return _agree(found, claimed, suffix, name)
        if isinstance(found, str):
            raise _unreadable(found, claimed, suffix, name)
        return _agree(_text(head, claimed), claimed, suffix, name)
    finally:
        file.seek(0)


def _binary(file: BinaryIO, head: bytes, name: str) -> Format | str | None:
    """A binary format, the label of one that is not read, or None for text."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(file, name)
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return _compound(file, name)
    if b"%PDF-" in head[:1024]:
        return FORMATS["pdf"]
    if head.startswith(b"{\\rtf"):
        return "an RTF document"
    if is_text(head):
        return None
    for magic, label in UNREADABLE_MAGIC:
        if head.startswith(magic):
            return label
    return "a film" if head[4:8] == b"ftyp" else "binary data"


def _zip(file: BinaryIO, name: str) -> Format | str:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise BrokenDocument(
            f"{name} is a damaged or cut-off archive: {error}.", remedy="Copy the file again."
        ) from None
    if "META-INF/container.xml" in members and any(m.endswith(".opf") for m in members):
        return FORMATS["epub"]
    for folder, format_name in (("word/", "docx"), ("ppt/", "pptx"), ("xl/", "xlsx")):
        if any(member.startswith(folder) for member in members):
            return FORMATS[format_name]
    if "content.xml" in members and "mimetype" in members:
        return "an OpenDocument file"
    return "a ZIP archive"


def _compound(file: BinaryIO, name: str) -> Format | str:
    """An OLE2 compound file: Outlook, legacy Office, or the wrapping of an encrypted one."""
    import olefile

    try:
        with olefile.OleFileIO(file) as compound:
            if compound.exists("EncryptedPackage"):
                raise EncryptedDocument(
                    f"{name} is protected by a password.", remedy="Save it without a password."
                )
            if compound.exists("__properties_version1.0"):
                return FORMATS["msg"]
            for stream, label in _LEGACY_STREAMS:
                if compound.exists(stream):
                    return label
    except OSError as error:
        raise BrokenDocument(f"{name} is a damaged compound file: {error}.") from None
    return "a compound file of unknown kind"


_LEGACY_STREAMS = (
    ("WordDocument", "a legacy Word document"),
    ("Workbook", "a legacy Excel workbook"),
    ("Book", "a legacy Excel workbook"),
    ("PowerPoint Document", "a legacy PowerPoint presentation"),
)


def _text(head: bytes, claimed: Format | None) -> Format:
    if _HTML.match(head):
        return FORMATS["html"]
    if claimed is not None and claimed.is_text:
        return claimed
    first_lines = head.lstrip().split(b"\n", 3)[:3]
    looks_like_mail = all(
        _MAIL_HEADER.match(line) for line in first_lines if line[:1] not in b" \t"
    )
    if claimed is None and looks_like_mail and len(_MAIL_SURE.findall(head)) >= 2:
        return FORMATS["email"]
    return FORMATS["text"]


def _agree(found: Format, claimed: Format | None, suffix: str, name: str) -> Format:
    """``found``, if the name makes no claim that matters against it."""
    if found is claimed or (found.is_text and claimed is not None and claimed.is_text):
        return found
    if claimed is None and suffix not in UNREADABLE_SUFFIXES:
        return found
    meant = claimed.label if claimed else UNREADABLE_SUFFIXES[suffix]
    raise MismatchedType(
        f"{name} is named like {meant} but holds {found.label}.",
        remedy=f"If that is what it should be, rename it to end in {found.suffixes[0]}.",
    )


def _unreadable(label: str, claimed: Format | None, suffix: str, name: str) -> Exception:
    if claimed is not None:
        return MismatchedType(
            f"{name} is named like {claimed.label} but holds {label}.",
            remedy="Find the file that was meant.",
        )
    return UnsupportedFormat(f"{name} is {label}, which is not read.", remedy=_REMEDY)
