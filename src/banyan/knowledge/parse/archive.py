"""ZIP archives from strangers: how large they may unpack, and that their XML declares nothing."""

from __future__ import annotations

import re
import zipfile
from typing import BinaryIO

from banyan.core.errors import BrokenDocument, EncryptedDocument
from banyan.knowledge.parse.limits import fixed_limit

MAX_UNPACKED_BYTES = 512 << 20
MAX_MEMBERS = 20_000
MAX_RATIO = 300
_RATIO_MATTERS_BYTES = 16 << 20
_PROLOGUE_BYTES = 64 * 1024
_DECLARATION = re.compile(rb"<\s*!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_ENTITY = re.compile(rb"<\s*!\s*ENTITY", re.IGNORECASE)


def open_archive(file: BinaryIO, name: str) -> zipfile.ZipFile:
    """The archive, once its directory keeps the limits; ``zipfile`` unpacks no more than it says.

    Raises ``ParserLimit`` for what would unpack too large and ``EncryptedDocument``.
    """
    archive = zipfile.ZipFile(file)
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise fixed_limit("max_archive_members", MAX_MEMBERS, f"{name} holds {len(members)} files")
    unpacked = sum(member.file_size for member in members)
    if unpacked > MAX_UNPACKED_BYTES:
        raise fixed_limit(
            "max_unpacked_bytes", MAX_UNPACKED_BYTES, f"{name} would unpack to {unpacked} bytes"
        )
    for member in members:
        if member.flag_bits & 1:
            raise EncryptedDocument(
                f"{name} is protected by a password.", remedy="Save it without a password."
            )
        ratio = member.file_size // max(member.compress_size, 1)
        if member.file_size > _RATIO_MATTERS_BYTES and ratio > MAX_RATIO:
            raise fixed_limit(
                "max_compression_ratio", MAX_RATIO, f"{name} unpacks to {ratio} times its size"
            )
    return archive


def check_office_file(file: BinaryIO, name: str) -> None:
    """As ``open_archive``, for Office files, whose XML parts may declare no types or entities."""
    with open_archive(file, name) as archive:
        for member in archive.infolist():
            if member.filename.endswith((".xml", ".rels")):
                with archive.open(member) as part:
                    refuse_declarations(part.read(_PROLOGUE_BYTES), name)
    file.seek(0)


def refuse_declarations(xml: bytes, name: str, *, allow_doctype: bool = False) -> None:
    """Raise ``BrokenDocument`` where XML declares entities, which may grow or reach without end."""
    plain = xml.replace(b"\0", b"")  # so that UTF-16 hides nothing
    if (_ENTITY if allow_doctype else _DECLARATION).search(plain):
        raise BrokenDocument(
            f"{name} declares XML entities, which documents of its kind never need.",
            remedy="Do not trust this file; ask whoever made it.",
        )
