"""What the system says while it works: one typed union, rendered alike by console, SSE and CLI."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Literal

from banyan.core.types import Citation, FinishReason, Passage, TokenLogprob, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """``done`` of ``total`` units of ``stage`` (None: unknown); ``item`` is what is in hand."""

    stage: str
    done: int
    total: int | None = None
    item: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentAdded:
    """A file has ended: ``ready`` (searchable), ``unchanged``, or ``failed`` with the reason."""

    document_id: str
    path: str
    status: Literal["ready", "unchanged", "failed"]
    reason: str = ""
    chunks: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReady:
    """A model is here, whole and verified; ``already``: it was here before."""

    name: str
    path: str
    size_bytes: int
    already: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PassagesFound:
    """The passages an answer will rest on, best first."""

    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceReady:
    """One checked sentence. ``support`` in 0..1 is how well the cited words carry it."""

    text: str
    citations: tuple[Citation, ...]
    support: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Nothing in the documents supports an answer; ``nearest`` are what came closest."""

    reason: str
    nearest: tuple[Passage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerDone:
    """The end of an answer. ``question`` is the question as it was understood."""

    trace_id: str
    conversation_id: str
    question: str
    refused: bool
    mode: Literal["extractive", "model"]
    seconds: float
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenReady:
    """A piece of generated text (whole characters only); with logprobs, the tokens it came from."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationDone:
    """The end of a generation."""

    finish_reason: FinishReason
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The work ended in an error after it had begun: the error's code, message and remedy."""

    code: str
    message: str
    remedy: str = ""


Event = (
    Progress
    | DocumentAdded
    | ModelReady
    | PassagesFound
    | SentenceReady
    | Refused
    | AnswerDone
    | TokenReady
    | GenerationDone
    | Failed
)

_NAMES = {
    Progress: "progress",
    DocumentAdded: "document_added",
    ModelReady: "model_ready",
    PassagesFound: "passages_found",
    SentenceReady: "sentence_ready",
    Refused: "refused",
    AnswerDone: "answer_done",
    TokenReady: "token_ready",
    GenerationDone: "generation_done",
    Failed: "failed",
}


def to_json(event: Event) -> dict[str, object]:
    """The event as JSON values, with its kind under ``type`` (``sentence_ready``)."""
    body: dict[str, object] = {"type": _NAMES[type(event)]}
    for entry in fields(event):
        value = getattr(event, entry.name)
        if isinstance(value, tuple):
            value = [asdict(item) for item in value]
        elif isinstance(value, Usage):
            value = asdict(value)
        body[entry.name] = value
    return body
