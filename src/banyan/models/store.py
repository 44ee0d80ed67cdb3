"""Store: the models of one home, by name.

``<home>/models/NAME/`` holds ``model.json`` and, for a pulled model, its files; a model that was
added stays where it is and has only the record here. What comes as a dependency is listed too.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from banyan.core.context import Context
from banyan.core.errors import (
    CheckpointInvalid,
    Conflict,
    HashMismatch,
    InputError,
    UnknownModel,
    UnsupportedModel,
)
from banyan.core.events import ModelReady, Progress
from banyan.models import recordfile
from banyan.models.catalogue import catalogue, close_to, find
from banyan.models.hashing import hash_files, verify_files
from banyan.models.header import read_header
from banyan.models.lock import exclusive
from banyan.models.pull import check_terms, pull
from banyan.models.records import (
    CatalogueEntry,
    InstalledModel,
    Problem,
    check_name,
    model_name,
)

Events = Iterator[Progress | ModelReady]


class Store:
    """What a home has of models. Safe to use from several processes at once."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "models"

    def installed(self) -> list[InstalledModel]:
        """Every model with a readable record, bundled ones included, by name."""
        models = [*_bundled()]
        for folder in self._records():
            with suppress(CheckpointInvalid):  # `problems` reports these
                models.append(recordfile.read(folder))
        return sorted(models, key=lambda model: model.name)

    def problems(self) -> list[Problem]:
        """What is wrong on the shelf: models that are gone, records that cannot be read."""
        found = [
            Problem(
                detail=f"{model.name}: {model.path} is gone",
                mend=f"banyan models remove {model.name}",
            )
            for model in self.installed()
            if not model.present
        ]
        for folder in self._records():
            try:
                recordfile.read(folder)
            except CheckpointInvalid as error:
                found.append(Problem(detail=str(error), mend=error.remedy))
        return found

    def strays(self) -> list[Path]:
        """Folders on the shelf that no pull or add has made, and that are therefore not used."""
        return sorted(
            folder
            for folder in self._folder.glob("[!.]*")
            if folder.is_dir() and not (folder / recordfile.FILE_NAME).exists()
        )

    def get(self, name: str) -> InstalledModel:
        """The installed model of that name; ``UnknownModel`` says how to get it."""
        models = {model.name: model for model in self.installed()}
        if name in models:
            return models[name]
        if name in catalogue():
            raise UnknownModel(
                f"The model {name} is not installed.", remedy=f"`banyan models pull {name}`"
            )
        near = close_to(name, [*models, *catalogue()])
        raise UnknownModel(
            f"There is no model {name!r}{near}.",
            remedy="`banyan models list` shows what there is; `banyan models add PATH` takes your "
            "own GGUF file or checkpoint folder.",
        )

    def resolve(self, name_or_path: str) -> Path:
        """What the engine loads for a name, or for a path given as one (with a slash or .gguf)."""
        if "/" in name_or_path or name_or_path.endswith(".gguf"):
            path = Path(name_or_path).expanduser()
            if not path.exists():
                raise UnknownModel(f"There is no file or folder {path}.")
            return path
        model = self.get(name_or_path)
        if not model.present:
            raise UnknownModel(
                f"The files of {model.name} are gone from {model.path}.",
                remedy=f"`banyan models remove {model.name}`, then add or pull it again.",
            )
        return model.path

    def pull(
        self, name: str, context: Context, *, accept_licence: str = "", source: Path | None = None
    ) -> Events:
        """Fetch a catalogue model, or verify it when it is here; ends with ``ModelReady``."""
        entry = find(name)
        check_terms(entry, accept_licence)
        if entry.bundled:
            yield from self.verify(name, context)
            return
        target, staging = self._folder / name, self._folder / ".staging" / name
        with exclusive(self._folder / ".locks" / name, context):
            if (yield from self._is_whole(entry, context)):
                yield _ready(self.get(name), already=True)
                return
            yield from pull(entry, target, staging, context, source)
        yield _ready(self.get(name), already=False)

    def add(self, path: Path, *, name: str = "") -> InstalledModel:
        """Register a GGUF file or checkpoint folder where it is; it is neither copied nor read.

        Raises ``CheckpointInvalid`` when it is not a model, ``UnsupportedModel`` when the engine
        does not run its architecture, ``Conflict`` when the name is taken.
        """
        path = path.expanduser().resolve()
        if not path.exists():
            raise InputError(f"There is no file or folder {path}.")
        header = read_header(path)
        if not header.runs:
            raise UnsupportedModel(
                f"{path} is of the architecture {header.architecture!r}, which is not run.",
                remedy="Another server can run it: `banyan models connect URL`.",
            )
        name = check_name(name) if name else model_name(path.name.removesuffix(".gguf"))
        self._check_free(name, path)
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        model = InstalledModel(
            name=name,
            kind=header.kind,
            origin="added",
            path=path,
            purpose=header.title,
            licence=header.licence,
            source=str(path),
            architecture=header.architecture,
            context_length=header.context_length,
            size_bytes=header.size_bytes,
            files=(),
            added_at=recordfile.now(),
        )
        recordfile.write(model, folder)
        return model

    def verify(self, name: str, context: Context) -> Events:
        """Read every byte of a model and compare; the first time for an added one, remember."""
        model = self.get(name)
        if model.files:
            yield from verify_files(model.folder, model.files, context)
        else:
            paths = _paths(model)
            files = yield from hash_files(model.folder, paths, context)
            model = replace(model, files=files)
            recordfile.write(model, self._folder / name)
        yield _ready(model, already=True)

    def remove(self, name: str) -> InstalledModel:
        """Forget a model. Only files that ``pull`` brought are deleted."""
        folder = self._folder / check_name(name)
        if any(model.name == name for model in _bundled()):
            raise InputError(f"{name} is a part of Banyan's installation and stays with it.")
        if not (folder / recordfile.FILE_NAME).is_file():
            self.get(name)
        try:
            model = recordfile.read(folder)
        except CheckpointInvalid:
            raise InputError(
                f"{folder} has no readable {recordfile.FILE_NAME}; nothing was deleted.",
                remedy="Delete the folder by hand when it holds nothing you need.",
            ) from None
        shutil.rmtree(folder)
        return model

    def _records(self) -> list[Path]:
        return sorted(
            file.parent
            for file in self._folder.glob(f"*/{recordfile.FILE_NAME}")
            if not file.parent.name.startswith(".")
        )

    def _is_whole(self, entry: CatalogueEntry, context: Context) -> Generator[Progress, None, bool]:
        folder = self._folder / entry.name
        try:
            model = recordfile.read(folder)
            if model.files != recordfile.of_entry(entry, folder).files:
                return False
            yield from verify_files(folder, model.files, context)
        except (CheckpointInvalid, HashMismatch):
            return False
        return True

    def _check_free(self, name: str, path: Path) -> None:
        if name in catalogue():
            raise Conflict(
                f"{name} is a name of the catalogue.", remedy="Give another with `--name`."
            )
        for model in self.installed():
            if model.name == name and model.path != path:
                raise Conflict(
                    f"The name {name} belongs to {model.path}.",
                    remedy="Give another with `--name`, or remove that model first.",
                )


def _bundled() -> Iterator[InstalledModel]:
    """The catalogue's models that came as a dependency and are here."""
    for entry in catalogue().values():
        if entry.bundled:
            with suppress(metadata.PackageNotFoundError):
                located = metadata.distribution(entry.bundled).locate_file(entry.load)
                yield recordfile.of_entry(entry, Path(str(located)))


def _paths(model: InstalledModel) -> list[str]:
    if not model.path.is_dir():
        return [model.path.name]
    kept = (".json", ".safetensors", ".jinja", ".model", ".txt")
    return sorted(file.name for file in model.path.iterdir() if file.suffix in kept)


def _ready(model: InstalledModel, *, already: bool) -> ModelReady:
    return ModelReady(
        name=model.name, path=str(model.path), size_bytes=model.size_bytes, already=already
    )
