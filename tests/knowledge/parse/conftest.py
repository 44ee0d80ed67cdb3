"""Reading a file in this process, and a small PDF writer, because no dependency writes PDF."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from banyan.knowledge.parse.child import read_document
from banyan.knowledge.parse.limits import ParseLimits
from banyan.knowledge.records import Document

Read = Callable[..., Document]
Blocks = list[tuple[str, str]]


@pytest.fixture
def read() -> Read:
    """``read(data, name)``: the document in ``data``, parsed in this process."""

    def read_bytes(data: bytes, name: str, limits: ParseLimits | None = None) -> Document:
        return read_document(io.BytesIO(data), name, limits or ParseLimits())

    return read_bytes


@pytest.fixture
def blocks(read: Read) -> Callable[[bytes, str], Blocks]:
    """``blocks(data, name)``: kind and text of each block."""

    def of(data: bytes, name: str) -> Blocks:
        return [(block.kind, block.text) for block in read(data, name).blocks]

    return of


@pytest.fixture
def compound_file() -> Callable[[str], bytes]:
    """``compound_file(name)``: an OLE2 file (MS-CFB) with one stream of that name."""

    def directory_entry(name: str, kind: int, child: int, size: int) -> bytes:
        encoded = name.encode("utf-16-le")
        entry = encoded.ljust(64, b"\0") + struct.pack("<HBB", len(encoded) + 2, kind, 1)
        entry += struct.pack("<III", 0xFFFFFFFF, 0xFFFFFFFF, child) + bytes(36)
        return entry + struct.pack("<IQ", 0 if kind == 2 else 0xFFFFFFFE, size)

    def make(name: str) -> bytes:
        free, end, fat = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
        header = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16)
        header += struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
        header += struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, end, 0, end, 0)
        header += struct.pack("<I", 0) + struct.pack("<I", free) * 108
        table = struct.pack("<II", fat, end) + struct.pack("<I", free) * 126
        entries = directory_entry("Root Entry", 5, 1, 0) + directory_entry(name, 2, free, 0)
        return header + table + entries + bytes(256)

    return make


@dataclass(frozen=True, kw_only=True)
class Text:
    """A line of text on a PDF page, in points from the lower left corner."""

    x: float
    y: float
    text: str
    size: float = 10
    bold: bool = False

    def operators(self) -> str:
        if not self.text.isascii():
            encoded = self.text.encode("utf-16-be").hex()
            return f"BT /F3 {self.size} Tf {self.x} {self.y} Td <{encoded}> Tj ET"
        escaped = self.text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        font = "F2" if self.bold else "F1"
        return f"BT /{font} {self.size} Tf {self.x} {self.y} Td ({escaped}) Tj ET"


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """A straight line on a PDF page."""

    x0: float
    y0: float
    x1: float
    y1: float

    def operators(self) -> str:
        return f"{self.x0} {self.y0} m {self.x1} {self.y1} l S"


_CHINESE_FONT = (
    b"<< /Type /Font /Subtype /Type0 /BaseFont /STSong-Light /Encoding /UniGB-UTF16-H "
    b"/DescendantFonts [<< /Type /Font /Subtype /CIDFontType0 /BaseFont /STSong-Light "
    b"/CIDSystemInfo << /Registry (Adobe) /Ordering (GB1) /Supplement 5 >> "
    b"/FontDescriptor << /Type /FontDescriptor /FontName /STSong-Light /Flags 4 >> >>] >>"
)


def pdf_bytes(pages: Sequence[Sequence[Text | Stroke]], title: str = "", extra: str = "") -> bytes:
    """A PDF of A4 pages; ``extra`` goes into every page's dictionary."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    fonts = []
    for font in ("Helvetica", "Helvetica-Bold"):
        objects.append(f"<< /Type /Font /Subtype /Type1 /BaseFont /{font} >>".encode())
        fonts.append(len(objects))
    objects.append(_CHINESE_FONT)
    fonts.append(len(objects))
    named = " ".join(f"/F{index} {number} 0 R" for index, number in enumerate(fonts, start=1))
    kids = []
    for page in pages:
        stream = "\n".join(item.operators() for item in page).encode()
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {len(objects)} 0 R "
            f"/Resources << /Font << {named} >> >> {extra} >>".encode()
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
    objects.append(f"<< /Title ({title}) >>".encode())
    return _with_table(objects)


def _with_table(objects: Sequence[bytes]) -> bytes:
    body, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(body)
    body += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    body += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer\n<< /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return bytes(body + trailer % (len(objects) + 1, len(objects), start))


class PdfMaker:
    """What tests write PDFs with."""

    text, stroke, bytes = Text, Stroke, staticmethod(pdf_bytes)

    @staticmethod
    def lines(
        lines: Sequence[str], x: float = 72, top: float = 780, size: float = 10
    ) -> list[Text]:
        """Lines under each other at 1.2 times the size."""
        return [
            Text(x=x, y=round(top - index * 1.2 * size, 2), text=line, size=size)
            for index, line in enumerate(lines)
        ]


@pytest.fixture
def pdf() -> type[PdfMaker]:
    return PdfMaker
