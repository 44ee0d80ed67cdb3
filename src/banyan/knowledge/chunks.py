"""Chunks: a document cut, tokenised and embedded, ready for a store to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from banyan.core.types import Language, Passage
from banyan.knowledge.records import Document, DocumentRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One piece of a document with everything an index wants of it.

    ``start`` and ``end`` are offsets into the document's text and ``text`` is what lies between
    them; the chunks of a document, joined, are its text. ``terms`` are those of the indexed text
    (title and headings in front), repeats included. ``sentences`` are (start, end) offsets into
    the document's text. Per embedder name, ``vectors`` holds float32 [dimensions] of the indexed
    text and ``sentence_vectors`` float32 [sentences, dimensions].
    """

    text: str
    start: int
    end: int
    heading_path: tuple[str, ...]
    page: int | None
    language: Language
    terms: tuple[str, ...]
    sentences: tuple[tuple[int, int], ...]
    vectors: Mapping[str, Floats] = field(default_factory=dict)
    sentence_vectors: Mapping[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedDocument:
    """What is written in one piece: the record, the blocks, the chunks in order.

    A failed document has neither blocks nor chunks.
    """

    record: DocumentRecord
    document: Document
    chunks: tuple[Chunk, ...]


def passage_id(document_id: str, position: int) -> str:
    """The public name of a document's chunk; the same content gets the same name again."""
    return f"{document_id}-{position}"


def passage(record: DocumentRecord, position: int, chunk: Chunk) -> Passage:
    """The chunk as a search returns it, score 0."""
    return Passage(
        id=passage_id(record.id, position),
        base_id=record.base_id,
        document_id=record.id,
        title=record.title,
        heading_path=chunk.heading_path,
        text=chunk.text,
        start=chunk.start,
        end=chunk.end,
        page=chunk.page,
        label=record.label,
        language=chunk.language,
        score=0.0,
    )
