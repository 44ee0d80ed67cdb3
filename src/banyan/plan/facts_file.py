"""The facts file: what a running cluster told of its machines."""

from __future__ import annotations

import json
from typing import Final

from banyan.core.errors import InputError
from banyan.core.layout import Facts, from_json

MAX_BYTES: Final = 4 << 20
REMEDY: Final = "Write one with `banyan cluster status --json > FILE` while a cluster runs."


def parse_facts(text: str) -> Facts:
    """The machines and links of a status. Raises ``InputError`` saying what is wrong."""
    if len(text) > MAX_BYTES:
        raise InputError(f"The facts file is longer than {MAX_BYTES} bytes.", remedy=REMEDY)
    try:
        status = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"The facts file is not JSON: {error}.", remedy=REMEDY) from None
    cluster = status.get("cluster") if isinstance(status, dict) else None
    found = cluster.get("facts") if isinstance(cluster, dict) else None
    if found is None:
        raise InputError("The file holds no facts of a cluster.", remedy=REMEDY)
    try:
        return from_json(Facts, found)
    except ValueError as error:
        raise InputError(f"The facts cannot be: {error}.", remedy=REMEDY) from None
