"""Indexing: a parsed document becomes chunks with terms, sentences and vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from banyan.core.context import Context
from banyan.core.ports import Embedder
from banyan.knowledge.chunks import Chunk, IndexedDocument
from banyan.knowledge.embed import Embedders, embed_all
from banyan.knowledge.language import detect
from banyan.knowledge.records import Document, DocumentRecord, Piece
from banyan.knowledge.sentences import sentences
from banyan.knowledge.sources import Fingerprint
from banyan.knowledge.split import piece_text, split
from banyan.knowledge.terms import terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a document belongs."""

    base_id: str
    path: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A document cut and tokenised, not yet embedded. ``indexed_texts`` has one text a chunk."""

    entry: IndexedDocument
    indexed_texts: tuple[str, ...] = ()


def document_id(place: Place, fingerprint: Fingerprint) -> str:
    """The same content in the same place is the same document, on every machine."""
    key = "\0".join((place.base_id, place.path, place.label, fingerprint.sha256))
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:24]


def draft(place: Place, fingerprint: Fingerprint, document: Document, context: Context) -> Draft:
    """Cut ``document`` and find its terms and sentences."""
    language = detect(document.text)
    chunks, texts = [], []
    for piece in split(document):
        context.check()
        text = piece_text(document, piece)
        chunks.append(_chunk(document, piece, text))
        texts.append(text)
    record = replace(
        _record(place, fingerprint),
        title=document.title,
        media_type=document.media_type,
        language=language,
        pages=max((block.page or 0 for block in document.blocks), default=0),
        chunks=len(chunks),
    )
    entry = IndexedDocument(record=record, document=document, chunks=tuple(chunks))
    return Draft(entry=entry, indexed_texts=tuple(texts))


def failed(place: Place, fingerprint: Fingerprint, reason: str) -> Draft:
    """The record of a file that could not become text."""
    record = replace(_record(place, fingerprint), status="failed", reason=reason)
    empty = Document(title=record.title, media_type="", blocks=())
    return Draft(entry=IndexedDocument(record=record, document=empty, chunks=()))


def _record(place: Place, fingerprint: Fingerprint) -> DocumentRecord:
    return DocumentRecord(
        id=document_id(place, fingerprint),
        base_id=place.base_id,
        path=place.path,
        title=place.path.rpartition("/")[2],
        media_type="",
        size_bytes=fingerprint.size_bytes,
        sha256=fingerprint.sha256,
        label=place.label,
        status="ready",
        reason="",
        language="en",
        pages=0,
        chunks=0,
        added_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _chunk(document: Document, piece: Piece, indexed_text: str) -> Chunk:
    text = document.text[piece.start : piece.end]
    return Chunk(
        text=text,
        start=piece.start,
        end=piece.end,
        heading_path=piece.heading_path,
        page=piece.page,
        language=detect(text),
        terms=tuple(terms(indexed_text)),
        sentences=tuple((piece.start + start, piece.start + end) for start, end in sentences(text)),
    )


def embedded(
    drafts: Sequence[Draft], embedders: Embedders, context: Context
) -> Generator[tuple[int, int], None, list[IndexedDocument]]:
    """Give every chunk of ``drafts`` its vectors, and yield (done, total) texts on the way."""
    entries = [draft.entry for draft in drafts]
    texts = [list(draft.indexed_texts) for draft in drafts]
    for embedder in filter(None, (embedders.multilingual, embedders.english)):
        chosen = [
            (number, position)
            for number, entry in enumerate(entries)
            for position, chunk in enumerate(entry.chunks)
            if embedder in embedders.of(chunk.language)
        ]
        changed = yield from _with_vectors(
            [entries[number].chunks[position] for number, position in chosen],
            [texts[number][position] for number, position in chosen],
            embedder,
            context,
        )
        entries = _put_back(entries, dict(zip(chosen, changed, strict=True)))
    return entries


def _with_vectors(
    chunks: Sequence[Chunk], texts: Sequence[str], embedder: Embedder, context: Context
) -> Generator[tuple[int, int], None, list[Chunk]]:
    """``chunks`` with the vectors of their indexed ``texts`` and of their sentences."""
    wanted = [*texts]
    for chunk in chunks:
        wanted.extend(
            chunk.text[start - chunk.start : end - chunk.start] for start, end in chunk.sentences
        )
    steps = embed_all(embedder, wanted, context)
    while True:
        try:
            yield next(steps), len(wanted)
        except StopIteration as ended:
            matrix = ended.value
            break
    changed, place = [], len(texts)
    for number, chunk in enumerate(chunks):
        sentence_matrix = matrix[place : place + len(chunk.sentences)]
        place += len(chunk.sentences)
        changed.append(
            replace(
                chunk,
                vectors={**chunk.vectors, embedder.name: matrix[number]},
                sentence_vectors={**chunk.sentence_vectors, embedder.name: sentence_matrix},
            )
        )
    return changed


def _put_back(
    entries: Sequence[IndexedDocument], changed: dict[tuple[int, int], Chunk]
) -> list[IndexedDocument]:
    return [
        replace(
            entry,
            chunks=tuple(
                changed.get((number, position), chunk)
                for position, chunk in enumerate(entry.chunks)
            ),
        )
        for number, entry in enumerate(entries)
    ]
