"""Reading an archive that anybody may have made: every size, hash, name and value is checked."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, get_args

from banyan.core.context import Context
from banyan.core.errors import InputError, LimitExceeded
from banyan.core.types import Language
from banyan.knowledge import vectors
from banyan.knowledge.chunks import Chunk, IndexedDocument
from banyan.knowledge.records import Block, BlockKind, Document, DocumentRecord, DocumentStatus

if TYPE_CHECKING:
    from banyan.knowledge.chunks import Floats

FORMAT = "banyan-base"
VERSION = 1
MAX_MANIFEST_BYTES = 1 << 20
MAX_DOCUMENT_BYTES = 1 << 28
"""Most bytes of one line of ``documents.jsonl``."""

MAX_EXPANSION = 200
"""How many times its own size an archive may unpack to."""

MAX_EMBEDDERS = 16
MAX_DIMENSIONS = 1 << 14
_ID = re.compile(r"[0-9a-f]{24}")
_READ_BYTES = 1 << 20


class _Bad(Exception):
    """The archive contradicts its format; becomes an ``InputError`` with the archive's name."""


_DAMAGE = (_Bad, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error, EOFError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """An open archive whose hashes are right. ``embedders`` pairs each name with dimensions."""

    base_id: str
    title: str
    embedders: tuple[tuple[str, int], ...]
    zip: zipfile.ZipFile
    path: Path

    def documents(self, context: Context) -> Iterator[IndexedDocument]:
        """Yield the documents, each checked; ``InputError`` at the first that is not sound."""
        try:
            with ExitStack() as stack:
                lines = stack.enter_context(self.zip.open("documents.jsonl"))
                streams = [
                    _Rows(
                        chunks=stack.enter_context(self.zip.open(f"vectors-{number}.bin")),
                        sentences=stack.enter_context(self.zip.open(f"sentences-{number}.bin")),
                        name=name,
                        dimensions=dimensions,
                    )
                    for number, (name, dimensions) in enumerate(self.embedders)
                ]
                while line := lines.readline(MAX_DOCUMENT_BYTES):
                    context.check()
                    yield _document(json.loads(line), self.base_id, streams)
        except _DAMAGE as error:
            raise _refusal(self.path, error) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    chunks: IO[bytes]
    sentences: IO[bytes]
    name: str
    dimensions: int

    def take(self, stream: IO[bytes], count: int) -> Floats:
        size = count * (4 + self.dimensions)
        packed = stream.read(size)
        _demand(len(packed) == size, "vectors are missing")
        return vectors.unpack(packed, self.dimensions)


@contextmanager
def open_archive(path: Path, context: Context) -> Iterator[Archive]:
    """Open and verify; ``InputError`` for no file, no archive, or one that was tampered with."""
    with ExitStack() as stack:
        try:
            archive = _verified(stack.enter_context(zipfile.ZipFile(path)), path, context)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
        except _DAMAGE as error:
            raise _refusal(path, error) from None
        yield archive


def _refusal(path: Path, error: Exception) -> InputError:
    why = str(error) if isinstance(error, _Bad) else "it is damaged"
    return InputError(
        f"{path.name} is not a sound export of a base: {why}.",
        remedy="Export the base again with `banyan knowledge export`.",
    )


def _demand(condition: bool, otherwise: str) -> None:
    if not condition:
        raise _Bad(otherwise)


def _verified(opened: zipfile.ZipFile, path: Path, context: Context) -> Archive:
    entries = {entry.filename: entry for entry in opened.infolist()}
    _demand("manifest.json" in entries, "it has no manifest.json")
    _demand(entries["manifest.json"].file_size <= MAX_MANIFEST_BYTES, "its manifest is too large")
    unpacked = sum(entry.file_size for entry in entries.values())
    allowed = MAX_EXPANSION * path.stat().st_size
    if unpacked > allowed:
        raise LimitExceeded(
            f"{path.name} unpacked", limit="MAX_EXPANSION", value=unpacked, allowed=allowed
        )
    manifest = json.loads(opened.read("manifest.json"))
    _demand(manifest["format"] == FORMAT, "its format is another")
    _demand(manifest["version"] == VERSION, f"its version is not {VERSION}")
    embedders = [(_text(one["name"], 200), _size(one)) for one in manifest["embedders"]]
    _demand(len(embedders) <= MAX_EMBEDDERS, "it has too many embedders")
    files: Mapping[str, Any] = manifest["files"]
    wanted = {"documents.jsonl"}
    for number in range(len(embedders)):
        wanted |= {f"vectors-{number}.bin", f"sentences-{number}.bin"}
    _demand(set(files) == wanted and set(entries) == wanted | {"manifest.json"}, "its files differ")
    for name, facts in files.items():
        _check_hash(opened, name, facts, context)
    return Archive(
        base_id=_text(manifest["base"]["id"], 63),
        title=_text(manifest["base"]["title"], 200),
        embedders=tuple(embedders),
        zip=opened,
        path=path,
    )


def _check_hash(
    opened: zipfile.ZipFile, name: str, facts: Mapping[str, Any], context: Context
) -> None:
    digest, size = hashlib.sha256(), 0
    with opened.open(name) as stream:
        while part := stream.read(_READ_BYTES):
            context.check()
            digest.update(part)
            size += len(part)
    same = digest.hexdigest() == facts["sha256"] and size == facts["size"]
    _demand(same, f"{name} is not what the manifest says")


def _size(embedder: Mapping[str, Any]) -> int:
    return _number(embedder["dimensions"], 1, MAX_DIMENSIONS)


def _text(value: object, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise _Bad("a text is missing or too long")
    value.encode()  # lone surrogates raise a ValueError
    return value


def _number(value: object, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _Bad("a number is missing or out of range")
    return value


def _document(line: Mapping[str, Any], base_id: str, streams: Sequence[_Rows]) -> IndexedDocument:
    record = _record(line["record"], base_id)
    chunks, position = [], 0
    for values in line["chunks"]:
        chunks.append(_chunk(values, position, streams))
        position = chunks[-1].end
    _demand(len(chunks) == record.chunks, "a document's chunks are missing")
    text = "".join(chunk.text for chunk in chunks)
    blocks = tuple(_blocks(line["blocks"], text))
    document = Document(title=record.title, media_type=record.media_type, blocks=blocks)
    _demand(document.text == text, "a document's blocks are not its text")
    return IndexedDocument(record=record, document=document, chunks=tuple(chunks))


def _record(values: Mapping[str, Any], base_id: str) -> DocumentRecord:
    record = DocumentRecord(
        id=_text(values["id"], 24),
        base_id=_text(values["base_id"], 63),
        path=_text(values["path"], 4096),
        title=_text(values["title"], 10_000),
        media_type=_text(values["media_type"], 200),
        size_bytes=_number(values["size_bytes"], 0, 1 << 50),
        sha256=_text(values["sha256"], 64),
        label=_text(values["label"], 200),
        status=values["status"],
        reason=_text(values["reason"], 10_000),
        language=values["language"],
        pages=_number(values["pages"], 0, 1 << 30),
        chunks=_number(values["chunks"], 0, 1 << 30),
        added_at=_text(values["added_at"], 64),
    )
    _demand(record.base_id == base_id, "a document is of another base")
    _demand(_ID.fullmatch(record.id) is not None, "a document's id is malformed")
    _demand(record.status in get_args(DocumentStatus), "a document's status is unknown")
    _demand(record.language in get_args(Language), "a document's language is unknown")
    return record


def _chunk(values: Mapping[str, Any], start: int, streams: Sequence[_Rows]) -> Chunk:
    text = _text(values["text"], MAX_DOCUMENT_BYTES)
    end = start + len(text)
    _demand((values["start"], values["end"]) == (start, end), "chunks do not join")
    _demand(values["language"] in get_args(Language), "a chunk's language is unknown")
    page = values["page"]
    sentences = tuple(
        (_number(begin, start, end), _number(stop, begin, end))
        for begin, stop in values["sentences"]
    )
    chosen = [streams[_number(number, 0, len(streams) - 1)] for number in values["vectors"]]
    _demand(len({one.name for one in chosen}) == len(chosen), "a chunk's vectors are repeated")
    return Chunk(
        text=text,
        start=start,
        end=end,
        heading_path=tuple(_text(heading, 10_000) for heading in values["heading_path"]),
        page=None if page is None else _number(page, 0, 1 << 30),
        language=values["language"],
        terms=tuple(_term(term) for term in values["terms"]),
        sentences=sentences,
        vectors={one.name: one.take(one.chunks, 1)[0] for one in chosen},
        sentence_vectors={one.name: one.take(one.sentences, len(sentences)) for one in chosen},
    )


def _term(value: object) -> str:
    term = _text(value, 1 << 20)
    _demand(term.split() == [term], "a term is empty or holds a space")
    return term


def _blocks(shape: Sequence[Sequence[Any]], text: str) -> Iterator[Block]:
    start = 0
    for kind, level, page, length in shape:
        _demand(kind in get_args(BlockKind), "a block's kind is unknown")
        end = start + _number(length, 0, len(text))
        yield Block(
            kind=kind,
            text=text[start:end],
            level=_number(level, 0, 6),
            page=None if page is None else _number(page, 0, 1 << 30),
        )
        start = end + 2
