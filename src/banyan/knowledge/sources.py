"""Sources: what can be added to a base, a file on disk or a document at hand."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from banyan.core.context import Context
from banyan.knowledge.parse.parse import Parser
from banyan.knowledge.records import Document

_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What tells one version of a source from another."""

    sha256: str
    size_bytes: int


class Source(Protocol):
    """Something that becomes a document. ``path`` names it within its base."""

    @property
    def path(self) -> str: ...

    def fingerprint(self, context: Context) -> Fingerprint: ...

    def document(self, context: Context) -> Document:
        """Raises a ``DocumentError`` that says why there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """A file, read by a warm parser; over ``limit_bytes`` it is not even hashed."""

    path: str
    file: Path
    parser: Parser
    limit_bytes: int

    def fingerprint(self, context: Context) -> Fingerprint:
        """The file's hash; empty for what the parser will refuse (no file, a link, too large)."""
        try:
            facts = self.file.lstat()
            if not stat.S_ISREG(facts.st_mode) or facts.st_size > self.limit_bytes:
                return Fingerprint(sha256="", size_bytes=facts.st_size)
            digest = hashlib.sha256()
            with self.file.open("rb") as stream:
                while part := stream.read(_READ_BYTES):
                    context.check()
                    digest.update(part)
        except OSError:
            return Fingerprint(sha256="", size_bytes=0)
        return Fingerprint(sha256=digest.hexdigest(), size_bytes=facts.st_size)

    def document(self, context: Context) -> Document:
        return self.parser.parse(self.file, context, self.path.rpartition("/")[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenSource:
    """A document that somebody has parsed or made already."""

    path: str
    given: Document

    def fingerprint(self, context: Context) -> Fingerprint:
        digest = hashlib.sha256(f"{self.given.title}\0{self.given.media_type}".encode())
        for block in self.given.blocks:
            head = f"\0{block.kind}\0{block.level}\0{block.page}\0"
            digest.update((head + block.text).encode(errors="surrogatepass"))
        size = len(self.given.text.encode(errors="surrogatepass"))
        return Fingerprint(sha256=digest.hexdigest(), size_bytes=size)

    def document(self, context: Context) -> Document:
        return self.given


def path_text(path: Path) -> str:
    r"""The path as a text that can be stored and shown: bytes that are no UTF-8 become ``\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def walk(paths: Sequence[Path]) -> Iterator[Path]:
    """The files at and under ``paths`` in a fixed order, each once.

    In folders, names that begin with a dot are left out and links to folders are not followed. A
    path given by name is yielded whatever it is, so that it ends as a record or a reason.
    """
    seen: set[Path] = set()
    for path in paths:
        for file in _files(path):
            absolute = Path(os.path.abspath(file))
            if absolute not in seen:
                seen.add(absolute)
                yield absolute


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(folder, name)
