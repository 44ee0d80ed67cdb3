"""The join token of an installation, made at its first cluster and kept: workers come back to a
head that was restarted only while they know its token.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

FILE: Final = "join_token"
MIN_LENGTH: Final = 16
"""A kept token that is shorter was damaged, and is replaced."""


def kept_token(folder: Path) -> str:
    """The token in ``folder``, which only its owner may read; a fresh one where there is none."""
    path = folder / FILE
    try:
        kept = path.read_text(encoding="ascii", errors="ignore").strip()
    except FileNotFoundError:
        kept = ""
    if len(kept) >= MIN_LENGTH:
        return kept
    token = secrets.token_urlsafe(24)
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / f"{FILE}.{os.getpid()}"
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
    written.replace(path)
    return token
