"""How values leave: compact UTF-8 JSON of plain values and frozen records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass

from starlette.responses import Response


def to_bytes(value: object) -> bytes:
    """``value`` as JSON; records become objects, a lone surrogate becomes a question mark."""
    text = json.dumps(
        value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
    )
    return text.encode("utf-8", "replace")


def reply(
    value: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """``value`` as a JSON response."""
    return Response(to_bytes(value), status, headers, media_type="application/json")


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} does not become JSON")
