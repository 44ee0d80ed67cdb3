"""What is remembered of a question once it is answered: a turn for what follows, a trace for why.

``ask`` writes through the ``History`` port; the store implements it. Both records name the
documents they quote, so that a deleted document takes them with it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Protocol

from banyan.core.context import Context, Step
from banyan.core.events import SentenceReady
from banyan.core.types import Passage

TURNS_KEPT = 4
"""How many of the last turns a follow-up question may draw on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One question and what came of it.

    ``topic`` is what the question was about, in its own words, or in those of the turn it
    followed; ``answer`` is the text shown, empty for a refusal.
    """

    question: str
    topic: str
    answer: str = ""
    document_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRecord:
    """Everything that led to one answer, or to one list of search results.

    ``document_ids`` are the documents that any part of it names, the steps included.
    """

    id: str
    base_id: str
    conversation_id: str
    question: str
    understood: str
    mode: str
    refused: bool
    seconds: float
    steps: tuple[Step, ...] = ()
    passages: tuple[Passage, ...] = ()
    answer: tuple[SentenceReady, ...] = ()
    document_ids: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The record as JSON values, its steps in order."""
        return asdict(self)


class History(Protocol):
    """Keeps turns and traces for whoever asked; nobody else sees them."""

    def turns(self, conversation_id: str, context: Context) -> list[Turn]:
        """The last ``TURNS_KEPT`` turns, oldest first; none of a conversation not known."""
        ...

    def add_turn(self, conversation_id: str, turn: Turn, context: Context) -> None: ...

    def add_trace(self, record: TraceRecord, context: Context) -> None: ...


class NoHistory:
    """Remembers nothing: for evaluations, and for a store that cannot be written."""

    def turns(self, conversation_id: str, context: Context) -> list[Turn]:
        return []

    def add_turn(self, conversation_id: str, turn: Turn, context: Context) -> None:
        return None

    def add_trace(self, record: TraceRecord, context: Context) -> None:
        return None
