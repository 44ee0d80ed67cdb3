"""Metadata: what a checkpoint says about itself, read with the type it must have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from banyan.core.errors import CheckpointInvalid

MAX_JSON_BYTES: Final = 64 << 20  # a config, an index of shards or a template is far smaller


class Metadata:
    """A mapping with foreign content. A key that is missing and has no default, or whose value is
    of another type, raises ``CheckpointInvalid`` naming key and source. JSON null is missing."""

    def __init__(self, values: Mapping[str, object], source: str) -> None:
        self._values = values
        self.source = source

    def has(self, key: str) -> bool:
        return self._values.get(key) is not None

    def mentions(self, key: str) -> bool:
        """True also where the value is null."""
        return key in self._values

    def is_list(self, key: str) -> bool:
        return isinstance(self._values.get(key), list)

    def is_object(self, key: str) -> bool:
        return isinstance(self._values.get(key), dict)

    def integer(self, key: str, default: int | None = None) -> int:
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(key, value, "a whole number")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, value, "a number")
        return float(value)

    def text(self, key: str, default: str | None = None) -> str:
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, value, "a text")
        return value

    def flag(self, key: str, default: bool | None = None) -> bool:
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def texts(self, key: str) -> list[str]:
        value = self._get(key, None)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(key, value, "a list of texts")
        return value

    def integers(self, key: str) -> list[int]:
        """A list of whole numbers; a single one counts as a list of one."""
        value = self._get(key, None)
        items = value if isinstance(value, list) else [value]
        whole = [item for item in items if isinstance(item, int) and not isinstance(item, bool)]
        if len(whole) != len(items):
            raise self._wrong(key, value, "a list of whole numbers")
        return whole

    def numbers(self, key: str) -> list[float]:
        value = self._get(key, None)
        if not isinstance(value, list) or not all(isinstance(item, int | float) for item in value):
            raise self._wrong(key, value, "a list of numbers")
        return [float(item) for item in value]

    def part(self, key: str) -> Metadata:
        """The object under ``key``; an empty one where there is none."""
        value = self._values.get(key)
        if value is None:
            return Metadata({}, f"{self.source}:{key}")
        if not isinstance(value, dict):
            raise self._wrong(key, value, "an object")
        return Metadata(value, f"{self.source}:{key}")

    def parts(self, key: str) -> list[Metadata]:
        value = self._get(key, None)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self._wrong(key, value, "a list of objects")
        return [Metadata(item, f"{self.source}:{key}") for item in value]

    def names(self) -> list[str]:
        return list(self._values)

    def _get(self, key: str, default: object) -> object:
        value = self._values.get(key)
        if value is not None:
            return value
        if default is None:
            raise CheckpointInvalid(f"{self.source} does not say {key}.")
        return default

    def _wrong(self, key: str, value: object, wanted: str) -> CheckpointInvalid:
        return CheckpointInvalid(f"{self.source}: {key} is {str(value)[:80]!r}, not {wanted}.")


def read_json(path: Path) -> Metadata:
    """The JSON object in ``path``; ``CheckpointInvalid`` when absent, huge or something else."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise CheckpointInvalid(f"{path} is over MAX_JSON_BYTES = {MAX_JSON_BYTES}.")
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointInvalid(f"{path} cannot be read: {error}.") from None
    if not isinstance(values, dict):
        raise CheckpointInvalid(f"{path} is not a JSON object.")
    return Metadata(values, path.name)
