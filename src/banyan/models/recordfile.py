"""``model.json``: the record a model's folder carries, written once and read strictly."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from banyan.core.errors import CheckpointInvalid
from banyan.models.records import CatalogueEntry, DataFile, InstalledModel

FILE_NAME = "model.json"


def of_entry(entry: CatalogueEntry, folder: Path) -> InstalledModel:
    """The record of a catalogue entry whose files lie in ``folder``."""
    return InstalledModel(
        name=entry.name,
        kind=entry.kind,
        origin="bundled" if entry.bundled else "pulled",
        path=folder if entry.load == "." or entry.bundled else folder / entry.load,
        purpose=entry.purpose,
        licence=entry.licence,
        source=entry.source,
        architecture=entry.architecture,
        context_length=entry.context_length or None,
        size_bytes=entry.size_bytes,
        files=tuple(
            DataFile(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256)
            for file in entry.files
        ),
        added_at=now(),
    )


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def write(model: InstalledModel, folder: Path) -> None:
    """Put the record into ``folder``; a path inside it is kept relative, so that homes move."""
    body = asdict(model)
    inside = model.origin == "pulled"
    body["path"] = str(model.path.relative_to(model.folder)) if inside else str(model.path)
    body["files"] = [
        {"path": file.path, "size_bytes": file.size_bytes, "sha256": file.sha256}
        for file in model.files
    ]
    text = json.dumps(body, indent=2, ensure_ascii=False) + "\n"
    partial = folder / f".{FILE_NAME}"
    partial.write_text(text, "utf-8")
    partial.replace(folder / FILE_NAME)


def read(folder: Path) -> InstalledModel:
    """The record of ``folder``; ``CheckpointInvalid`` when it is not one of ours."""
    file = folder / FILE_NAME
    try:
        body: dict[str, Any] = json.loads(file.read_text("utf-8"))
        path = folder / body.pop("path")
        files = tuple(DataFile(**entry) for entry in body.pop("files"))
        return InstalledModel(path=path, files=files, **body)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointInvalid(
            f"{file} cannot be read: {error}",
            remedy=f"Pull or add {folder.name} again, or delete that folder.",
        ) from None
