"""Archives: a base as one file, its vectors included, and back into a store.

A zip of ``manifest.json`` (format, version, base, embedders, size and SHA-256 of every other
entry), ``documents.jsonl`` (a line a document: record, blocks, chunks) and, per embedder, the
packed rows of its chunk and sentence vectors in the order of the chunks. Reading an archive that
a stranger made is in ``archive_read``; nothing is ever unpacked to disk.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from banyan.core.context import Context
from banyan.core.errors import AccessError, Conflict, StoreError
from banyan.knowledge import bases, documents
from banyan.knowledge.archive_read import FORMAT, VERSION, open_archive
from banyan.knowledge.records import DocumentRecord
from banyan.knowledge.store import Store

_GROUP_DOCUMENTS = 64


def export(store: Store, base_id: str, target: Path, context: Context) -> None:
    """Write what the caller may see of a base to the new file ``target``.

    Raises ``UnknownBase``, ``Conflict`` where the file exists, ``StoreError`` if it cannot be
    written.
    """
    if target.exists():
        raise Conflict(f"{target} exists already.", remedy="Give another name.")
    try:
        with TemporaryDirectory(dir=target.parent, prefix=".banyan-export-") as name:
            made = _write(store, base_id, Path(name), context)
            made.rename(target)
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror or error}.") from error


def _write(store: Store, base_id: str, folder: Path, context: Context) -> Path:
    with store.read() as db, ExitStack() as stack:
        bases.check(db, base_id)
        title = db.execute("SELECT title FROM bases WHERE id = ?", (base_id,)).fetchone()[0]
        embedders = db.execute("SELECT id, name, dimensions FROM embedders ORDER BY id").fetchall()
        parts = {"documents.jsonl": stack.enter_context((folder / "documents.jsonl").open("wb"))}
        for number in range(len(embedders)):
            for kind in ("vectors", "sentences"):
                name = f"{kind}-{number}.bin"
                parts[name] = stack.enter_context((folder / name).open("wb"))
        for record in documents.records(db, base_id, context.principal):
            context.check()
            _write_document(db, record, [one[0] for one in embedders], parts)
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "base": {"id": base_id, "title": title},
        "embedders": [{"name": name, "dimensions": size} for _, name, size in embedders],
        "files": {name: _facts(folder / name, context) for name in parts},
    }
    made = folder / "archive.zip"
    with zipfile.ZipFile(made, "x", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
        archive.writestr("manifest.json", json.dumps(manifest, indent=1))
        for name in parts:
            context.check()
            archive.write(folder / name, name)
    return made


def _write_document(
    db: sqlite3.Connection,
    record: DocumentRecord,
    embedders: list[int],
    parts: Mapping[str, IO[bytes]],
) -> None:
    packed = db.execute(
        "SELECT blocks FROM outlines WHERE document_id = ?", (record.id,)
    ).fetchone()
    line = {
        "record": asdict(record),
        "blocks": [] if packed is None else documents.unpack_shape(packed[0]),
        "chunks": list(_chunks(db, record.id, embedders, parts)),
    }
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    parts["documents.jsonl"].write(text.encode() + b"\n")


def _chunks(
    db: sqlite3.Connection, document_id: str, embedders: list[int], parts: Mapping[str, IO[bytes]]
) -> Iterator[dict[str, object]]:
    for row in db.execute(
        "SELECT id, start, end, page, language, heading_path, text, sentences, terms FROM chunks"
        " WHERE document_id = ? ORDER BY position",
        (document_id,),
    ).fetchall():
        chunk_id, start, end, page, language, path, text, sentences, terms = row
        yield {
            "start": start,
            "end": end,
            "page": page,
            "language": language,
            "heading_path": json.loads(path),
            "text": text,
            "sentences": documents.unpack_ranges(sentences),
            "terms": documents.unpack_terms(terms),
            "vectors": [
                number
                for number, embedder in enumerate(embedders)
                if _copy_vectors(db, chunk_id, embedder, number, parts)
            ],
        }


def _copy_vectors(
    db: sqlite3.Connection,
    chunk_id: int,
    embedder: int,
    number: int,
    parts: Mapping[str, IO[bytes]],
) -> bool:
    found = db.execute(
        "SELECT v.vector, s.vectors FROM vectors v JOIN sentence_vectors s"
        " ON s.chunk_id = v.chunk_id AND s.embedder_id = v.embedder_id"
        " WHERE v.chunk_id = ? AND v.embedder_id = ?",
        (chunk_id, embedder),
    ).fetchone()
    if found is None:
        return False
    parts[f"vectors-{number}.bin"].write(found[0])
    parts[f"sentences-{number}.bin"].write(found[1])
    return True


def _facts(path: Path, context: Context) -> dict[str, object]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            context.check()
            digest.update(part)
    return {"sha256": digest.hexdigest(), "size": path.stat().st_size}


def import_(store: Store, source: Path, context: Context) -> str:
    """Create the base that ``source`` holds, whole or not at all, and return its id.

    Raises ``InputError`` for anything but a sound archive, ``Conflict`` where a base of its name
    exists, ``AccessError`` for labels the caller may not see.
    """
    with open_archive(source, context) as archive, store.write(context) as db:
        bases.create(db, archive.base_id, archive.title)
        group = []
        for entry in archive.documents(context):
            if not context.principal.may_see(entry.record.label):
                raise AccessError(
                    f"The archive holds documents under the label {entry.record.label!r}.",
                    remedy="Import it as someone who may see that label.",
                )
            group.append(entry)
            if len(group) == _GROUP_DOCUMENTS:
                documents.insert(db, group)
                group = []
        documents.insert(db, group)
    return archive.base_id
