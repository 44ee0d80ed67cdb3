"""The formats Banyan reads, and those it knows by sight and does not read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One readable format. ``name`` is also the module here that holds its ``read``."""

    name: str
    label: str
    media_type: str
    suffixes: tuple[str, ...]
    is_text: bool = False


_OFFICE = "application/vnd.openxmlformats-officedocument."

FORMATS = {
    format.name: format
    for format in (
        Format(name="pdf", label="a PDF", media_type="application/pdf", suffixes=(".pdf",)),
        Format(
            name="docx",
            label="a Word document",
            media_type=_OFFICE + "wordprocessingml.document",
            suffixes=(".docx", ".docm", ".dotx"),
        ),
        Format(
            name="pptx",
            label="a PowerPoint presentation",
            media_type=_OFFICE + "presentationml.presentation",
            suffixes=(".pptx", ".pptm", ".ppsx", ".potx"),
        ),
        Format(
            name="xlsx",
            label="an Excel workbook",
            media_type=_OFFICE + "spreadsheetml.sheet",
            suffixes=(".xlsx", ".xlsm", ".xltx"),
        ),
        Format(
            name="epub",
            label="an EPUB book",
            media_type="application/epub+zip",
            suffixes=(".epub",),
        ),
        Format(
            name="msg",
            label="an Outlook message",
            media_type="application/vnd.ms-outlook",
            suffixes=(".msg",),
        ),
        Format(
            name="email",
            label="an e-mail",
            media_type="message/rfc822",
            suffixes=(".eml",),
            is_text=True,
        ),
        Format(
            name="html",
            label="HTML",
            media_type="text/html",
            suffixes=(".html", ".htm", ".xhtml"),
            is_text=True,
        ),
        Format(
            name="markdown",
            label="Markdown",
            media_type="text/markdown",
            suffixes=(".md", ".markdown"),
            is_text=True,
        ),
        Format(
            name="csv",
            label="a table in text form",
            media_type="text/csv",
            suffixes=(".csv", ".tsv", ".tab"),
            is_text=True,
        ),
        Format(
            name="jsonl",
            label="JSON",
            media_type="application/json",
            suffixes=(".json", ".jsonl", ".ndjson"),
            is_text=True,
        ),
        Format(
            name="text",
            label="plain text",
            media_type="text/plain",
            suffixes=(".txt", ".text", ".log"),
            is_text=True,
        ),
    )
}

BY_SUFFIX = {suffix: format for format in FORMATS.values() for suffix in format.suffixes}

UNREADABLE_MAGIC = (
    (b"{\\rtf", "an RTF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"RIFF", "a RIFF file (WebP, WAV or AVI)"),
    (b"ID3", "an MP3 recording"),
    (b"OggS", "an Ogg recording"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"PAR1", "a Parquet file"),
    (b"%!PS", "a PostScript file"),
    (b"GGUF", "a model checkpoint"),
)
"""First bytes and what they mean. "BM" and "MZ" are tried only on what is not text."""

UNREADABLE_SUFFIXES = {
    ".doc": "a legacy Word document",
    ".xls": "a legacy Excel workbook",
    ".ppt": "a legacy PowerPoint presentation",
    ".rtf": "an RTF document",
    ".odt": "an OpenDocument text",
    ".ods": "an OpenDocument spreadsheet",
    ".odp": "an OpenDocument presentation",
    ".png": "a PNG image",
    ".jpg": "a JPEG image",
    ".jpeg": "a JPEG image",
    ".gif": "a GIF image",
    ".webp": "a WebP image",
    ".bmp": "a BMP image",
    ".tif": "a TIFF image",
    ".tiff": "a TIFF image",
    ".mp3": "an MP3 recording",
    ".wav": "a WAV recording",
    ".mp4": "a film",
    ".mov": "a film",
    ".zip": "a ZIP archive",
    ".gz": "a gzip archive",
    ".7z": "a 7-Zip archive",
    ".rar": "a RAR archive",
    ".exe": "a Windows program",
}
