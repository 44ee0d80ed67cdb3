"""The records of the knowledge path: what a parser yields, a splitter cuts and a store keeps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from banyan.core.types import Language

BlockKind = Literal["heading", "paragraph", "list", "table", "code"]
DocumentStatus = Literal["ready", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One piece of a document in reading order.

    ``text`` is what a person would read: a list item per line, a table as Markdown rows with its
    header first. ``level`` is 1-6 for headings, else 0. ``page`` counts from 1 (page, slide or
    sheet) and is None where the format has none.
    """

    kind: BlockKind
    text: str
    level: int = 0
    page: int | None = None


@dataclass(frozen=True, kw_only=True)  # no slots: what is computed once is kept in __dict__
class Document:
    """A parsed file: its blocks, and the one text that every offset points into."""

    title: str
    media_type: str
    blocks: tuple[Block, ...]

    @cached_property
    def text(self) -> str:
        """The blocks joined by a blank line; ``block_starts`` says where each begins."""
        return "\n\n".join(block.text for block in self.blocks)

    @cached_property
    def block_starts(self) -> list[int]:
        starts, position = [], 0
        for block in self.blocks:
            starts.append(position)
            position += len(block.text) + 2
        return starts


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What a splitter yields: the half-open range [start, end) of the document's text.

    The pieces of a document cover its text without gap or overlap, so that joined they give it
    back. ``heading_path`` holds the headings above it, outermost first.
    """

    start: int
    end: int
    heading_path: tuple[str, ...] = ()
    page: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRecord:
    """A document as the store lists it; a failed one keeps its reason."""

    id: str
    base_id: str
    path: str
    title: str
    media_type: str
    size_bytes: int
    sha256: str
    label: str
    status: DocumentStatus
    reason: str
    language: Language
    pages: int
    chunks: int
    added_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A knowledge base. The packaged sample is one like any other, and can be removed.

    ``reading`` counts files that wait or are being read, and cannot be found yet.
    """

    id: str
    title: str
    documents: int
    chunks: int
    failed: int
    reading: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One file waiting for, or taken by, the ingest worker. ``state`` ends as done or failed."""

    id: str
    base_id: str
    path: str
    state: Literal["waiting", "working", "done", "failed"]
    stage: str
    reason: str
    document_id: str
    created_at: str
    seconds: float
