"""Finds the conversation that a stateless chat request continues.

OpenAI's clients send the whole transcript each time and no conversation id. A transcript that
begins with one we answered, word for word, continues that conversation; any other begins a new
one. Only fingerprints are kept, and only the newest.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence

from banyan.core.types import Message

MAX_CONVERSATIONS = 4096


class Conversations:
    """Transcript so far -> conversation id, per principal and base; used on the event loop only."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, str] = OrderedDict()

    def find(self, owner: str, base_id: str, transcript: Sequence[Message]) -> str | None:
        """The conversation whose transcript this is, answer included, or None."""
        return self._ids.get(_fingerprint(owner, base_id, transcript))

    def remember(
        self, owner: str, base_id: str, transcript: Sequence[Message], conversation_id: str
    ) -> None:
        """Keep where a transcript, the new answer included, goes on."""
        self._ids[_fingerprint(owner, base_id, transcript)] = conversation_id
        while len(self._ids) > MAX_CONVERSATIONS:
            self._ids.popitem(last=False)


def _fingerprint(owner: str, base_id: str, transcript: Sequence[Message]) -> str:
    turns = [(message.role, message.content) for message in transcript]
    text = json.dumps([owner, base_id, turns])
    return hashlib.sha256(text.encode()).hexdigest()
