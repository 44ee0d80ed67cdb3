"""A small base in memory for the tests of retrieval and answers: texts in, a snapshot out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from banyan.core.context import PUBLIC, Context
from banyan.core.fakes import HashEmbedder
from banyan.knowledge.chunks import Chunk, IndexedDocument
from banyan.knowledge.embed import Embedders
from banyan.knowledge.language import detect
from banyan.knowledge.memory import MemorySnapshot
from banyan.knowledge.records import Block, Document, DocumentRecord
from banyan.knowledge.sentences import sentences
from banyan.knowledge.terms import terms

HASHES = Embedders(
    multilingual=HashEmbedder(name="hash-many"), english=HashEmbedder(name="hash-english")
)
"""Two doubles; words that are shared make vectors near."""

ONLY_ONE = Embedders(multilingual=HASHES.multilingual)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One document of one chunk."""

    title: str
    body: str
    label: str = PUBLIC
    heading_path: tuple[str, ...] = ()
    page: int | None = None


def base_of(texts: Sequence[Text], embedders: Embedders = HASHES) -> MemorySnapshot:
    """The base that holds ``texts`` in order: row n is the n-th of them."""
    return MemorySnapshot([_document(number, text, embedders) for number, text in enumerate(texts)])


def _document(number: int, text: Text, embedders: Embedders) -> IndexedDocument:
    language = detect(text.body)
    indexed = " > ".join((text.title, *text.heading_path)) + "\n\n" + text.body
    spans = tuple(sentences(text.body))
    parts = [text.body[start:end] for start, end in spans]
    used = embedders.of(language)
    context = Context()
    chunk = Chunk(
        text=text.body,
        start=0,
        end=len(text.body),
        heading_path=text.heading_path,
        page=text.page,
        language=language,
        terms=tuple(terms(indexed)),
        sentences=spans,
        vectors={one.name: one.embed([indexed], context)[0] for one in used},
        sentence_vectors={one.name: one.embed(parts, context) for one in used},
    )
    record = DocumentRecord(
        id=f"document{number}",
        base_id="base",
        path=f"{number}.txt",
        title=text.title,
        media_type="text/plain",
        size_bytes=len(text.body),
        sha256="",
        label=text.label,
        status="ready",
        reason="",
        language=language,
        pages=0,
        chunks=1,
        added_at="",
    )
    blocks = (Block(kind="paragraph", text=text.body),)
    document = Document(title=text.title, media_type="text/plain", blocks=blocks)
    return IndexedDocument(record=record, document=document, chunks=(chunk,))
