"""The conversation ``banyan ask --continue`` goes on with: one a home, the last one asked."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from banyan.core.errors import InputError, NotFound

FILE_NAME = "last_conversation.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LastConversation:
    id: str
    base: str


def last_conversation(home: Path, base: str) -> LastConversation:
    """The conversation before; ``NotFound`` without one, ``InputError`` when of another base."""
    try:
        last = LastConversation(**json.loads((home / FILE_NAME).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        raise NotFound(
            "There is no conversation to go on with.", remedy="Ask without --continue first."
        ) from None
    if base and base != last.base:
        raise InputError(
            f"The conversation before was with {last.base}, not {base}.",
            remedy=f"Leave out --base, or say --base {last.base}.",
        )
    return last


def remember_conversation(home: Path, base: str, conversation_id: str) -> None:
    if conversation_id:
        last = LastConversation(id=conversation_id, base=base)
        (home / FILE_NAME).write_text(json.dumps(asdict(last)), "utf-8")
