"""Cut a document into the pieces that are indexed; the facade of the splitters.

The pieces of a document cover its text exactly, so nothing is lost and every offset stays true.
What is indexed for a piece is ``piece_text``: its text with the headings above it in front.
"""

from __future__ import annotations

from typing import Protocol

from banyan.knowledge.outline import Outline
from banyan.knowledge.records import Document, Piece
from banyan.knowledge.split_heading import HeadingSplitter
from banyan.knowledge.split_region import header_of_table

PATH_SEPARATOR = " > "


class Splitter(Protocol):
    """Says where to cut.

    ``cut`` returns pieces that cover ``document.text`` without gap or overlap, the same ones for
    the same document. A new kind of document (laws by article, logs by event) is a new class.
    """

    def cut(self, document: Document) -> list[Piece]: ...


def split(document: Document, splitter: Splitter | None = None) -> list[Piece]:
    """The pieces of ``document``, by heading unless another splitter is given."""
    if not document.text:
        return []
    return (splitter or HeadingSplitter()).cut(document)


def piece_text(document: Document, piece: Piece) -> str:
    """The text to index for ``piece``: title and headings, then what the piece holds.

    The first line is ``Title > Section > Subsection``; headings at the beginning of the piece
    that this line already holds are not said twice. A piece that begins inside a table gets the
    table's header row in front of its first row.
    """
    path = [document.title, *piece.heading_path] if document.title else list(piece.heading_path)
    path = [name for index, name in enumerate(path) if index == 0 or name != path[index - 1]]
    outline = Outline.of(document)
    body = document.text[outline.after_headings(piece) : piece.end].strip()
    header = header_of_table(document, piece.start)
    parts = [PATH_SEPARATOR.join(path)] if path else []
    if body:
        parts.append(f"{header}\n{body}" if header else body)
    return "\n\n".join(parts)
