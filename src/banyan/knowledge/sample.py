"""The sample base: about thirty pages in two languages that come with the package."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from banyan.core.context import PUBLIC, Context
from banyan.core.errors import UnknownBase
from banyan.core.events import DocumentAdded
from banyan.knowledge import bases, documents
from banyan.knowledge.embed import Embedders
from banyan.knowledge.ingest import Ingest
from banyan.knowledge.parse.limits import ParseLimits
from banyan.knowledge.parse.parse import Parser
from banyan.knowledge.sources import FileSource
from banyan.knowledge.store import Store

BASE_ID = "sample"
TITLE = "Sample · 示例手册"
QUESTIONS = (
    "How much memory does a model need?",
    "Which kinds of files can I add?",
    "What does a Banyan subscription cost per month?",
    "怎样连接更大的模型？",
    "我的文档会离开这台机器吗？",
    "客服电话是多少？",
)
"""Three a language; the last of each has no answer in these pages, and should be refused."""


class _Known(TypedDict):
    """The pages that were added last; what a person adds to the base is never touched."""

    version: str
    pages: list[str]


_FOLDER = Path(__file__).parent / "sample"
_FACT = "sample"


def ensure(store: Store, embedders: Embedders, limits: ParseLimits, context: Context) -> None:
    """Add the pages, or those that a newer package has changed; a removed base stays removed."""
    files = {path.relative_to(_FOLDER).as_posix(): path for path in sorted(_FOLDER.rglob("*.md"))}
    version = _version(files, embedders)
    with store.read() as db:
        known = _known(db)
        exists = _exists(db)
    if known is not None and (known["version"] == version or not exists):
        return
    with store.write(context) as db:
        if not exists:
            bases.create(db, BASE_ID, TITLE)
        bases.set_reading(db, BASE_ID, len(files))
    ingest = Ingest(store=store, embedders=embedders, base_id=BASE_ID, label=PUBLIC)
    with Parser(limits) as parser:
        sources = [
            FileSource(path=name, file=path, parser=parser, limit_bytes=limits.max_upload_bytes)
            for name, path in files.items()
        ]
        left = len(files)
        for event in ingest.run(sources, context):
            if isinstance(event, DocumentAdded):
                left -= 1
                with store.write(context) as db:
                    bases.set_reading(db, BASE_ID, left)
    outdated = set(known["pages"] if known else ()) - files.keys()
    with store.write(context) as db:
        found = documents.records(db, BASE_ID, context.principal)
        documents.delete(db, [record.id for record in found if record.path in outdated])
        db.execute(
            "INSERT INTO facts (name, value) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (_FACT, json.dumps({"version": version, "pages": list(files)})),
        )


def _known(db: sqlite3.Connection) -> _Known | None:
    found = db.execute("SELECT value FROM facts WHERE name = ?", (_FACT,)).fetchone()
    if found is None:
        return None
    known: _Known = json.loads(found[0])
    return known


def _version(files: Mapping[str, Path], embedders: Embedders) -> str:
    """Changes with the pages, and when an embedder joins."""
    digest = hashlib.sha256()
    for embedder in embedders.of("en"):
        digest.update(embedder.name.encode() + b"\0")
    for name, path in files.items():
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _exists(db: sqlite3.Connection) -> bool:
    try:
        bases.check(db, BASE_ID)
    except UnknownBase:
        return False
    return True
