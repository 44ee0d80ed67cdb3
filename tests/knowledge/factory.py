"""Documents made by hand for the tests of the store: texts in, indexed documents out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from banyan.core.context import PUBLIC, Context, Principal
from banyan.core.events import DocumentAdded
from banyan.core.fakes import HashEmbedder
from banyan.knowledge.chunks import Chunk, IndexedDocument
from banyan.knowledge.embed import Embedders
from banyan.knowledge.library import Library
from banyan.knowledge.parse.limits import ParseLimits
from banyan.knowledge.records import Block, Document, DocumentRecord
from banyan.knowledge.sentences import sentences
from banyan.knowledge.store import Store
from banyan.knowledge.terms import terms

if TYPE_CHECKING:
    from banyan.knowledge.chunks import Floats

BASE = "base"
HASH = HashEmbedder()
EMBEDDER = HASH.name


def create_base(store: Store, base_id: str = BASE) -> None:
    with store.write(Context()) as db:
        db.execute(
            "INSERT INTO bases (id, title, created_at) VALUES (?, ?, '')", (base_id, base_id)
        )


def unit(seed: int) -> Floats:
    """A vector of length 1 that a seed decides."""
    vector = np.random.default_rng(seed).standard_normal(HASH.dimensions).astype(np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def document(
    name: str, texts: Sequence[str], *, label: str = PUBLIC, base_id: str = BASE
) -> IndexedDocument:
    """A document of one chunk per text; its title is its name, which is not indexed."""
    blocks = tuple(Block(kind="paragraph", text=text) for text in texts)
    parsed = Document(title=name, media_type="text/plain", blocks=blocks)
    ends = [*parsed.block_starts[1:], len(parsed.text)][: len(texts)]
    pieces = zip(parsed.block_starts, ends, strict=True)
    chunks = tuple(_chunk(parsed.text, start, end) for start, end in pieces)
    record = DocumentRecord(
        id=f"{base_id}{label}{name}".replace("-", ""),
        base_id=base_id,
        path=name,
        title=name,
        media_type="text/plain",
        size_bytes=len(parsed.text),
        sha256="",
        label=label,
        status="ready",
        reason="",
        language="en",
        pages=0,
        chunks=len(chunks),
        added_at="",
    )
    return IndexedDocument(record=record, document=parsed, chunks=chunks)


def _chunk(text: str, start: int, end: int) -> Chunk:
    body = text[start:end]
    spans = [(start + begin, start + stop) for begin, stop in sentences(body)]
    context = Context()
    return Chunk(
        text=body,
        start=start,
        end=end,
        heading_path=(),
        page=None,
        language="en",
        terms=tuple(terms(body)),
        sentences=tuple(spans),
        vectors={EMBEDDER: HASH.embed([body], context)[0]},
        sentence_vectors={EMBEDDER: HASH.embed([text[a:b] for a, b in spans], context)},
    )


def library(folder: Path) -> Library:
    """A library that embeds with the hashing double."""
    return Library(folder, embedders=Embedders(multilingual=HASH), limits=ParseLimits())


def page(title: str, *paragraphs: str) -> Document:
    """A parsed document of a title and paragraphs."""
    head = Block(kind="heading", text=title, level=1)
    body = tuple(Block(kind="paragraph", text=text) for text in paragraphs)
    return Document(title=title, media_type="text/markdown", blocks=(head, *body))


def add(
    target: Library, path: str, document: Document, *, base: str = BASE, label: str = PUBLIC
) -> DocumentAdded:
    """Add one parsed document and return how it ended."""
    events = target.add_documents([(path, document)], base, Context(), label=label)
    (ended,) = (event for event in events if isinstance(event, DocumentAdded))
    return ended


def reader(*labels: str) -> Context:
    """The context of someone who may see only ``labels``."""
    return Context(principal=Principal(name="reader", labels=frozenset(labels)))


def bytes_under(folder: Path) -> bytes:
    """Everything that lies on disk under a folder."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
