"""The records that cross folders: frozen, keyword-only, standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "cancelled"]
Language = Literal["en", "zh"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens read and written by one request."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is drawn; the defaults are the OpenAI API's.

    ``temperature`` 0 is greedy. ``top_k`` 0, ``top_p`` 1 and ``min_p`` 0 switch each filter off.
    ``repetition_penalty`` divides (or multiplies) the logits of tokens seen in prompt and answer
    (Keskar et al. 2019); ``presence_penalty`` and ``frequency_penalty`` are subtracted for tokens
    of the answer (OpenAI). ``seed`` None draws a fresh one. ``logprobs`` is how many alternatives
    to report beside each token (None: none, and no log-probability at all). ``echo`` reports the
    prompt's tokens too; with ``max_tokens`` 0 that is a pure score.
    """

    max_tokens: int | None = None
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: int | None = None
    echo: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprob:
    """One token's text, its natural-log probability, and the likeliest alternatives.

    ``logprob`` is None only for the first token of an echoed prompt, which nothing precedes.
    """

    text: str
    logprob: float | None
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of a document as a search returns it.

    ``start`` and ``end`` are character offsets into the document's text. ``score`` orders the
    passages of one search and means nothing between searches; ``scores`` names its parts
    (``bm25``, ``multilingual``, ``minilm``, ``fused``, ``rerank``).
    """

    id: str
    base_id: str
    document_id: str
    title: str
    heading_path: tuple[str, ...]
    text: str
    start: int
    end: int
    page: int | None
    label: str
    language: Language
    score: float
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """Points from a sentence of an answer at the words it rests on.

    ``number`` is the [n] shown; ``start`` and ``end`` are character offsets into the document's
    text, and ``quote`` is exactly the text between them.
    """

    number: int
    passage_id: str
    document_id: str
    title: str
    page: int | None
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What a listed model is, for a person and for ``/v1/models``.

    ``kind``: ``chat`` (writes), ``embedding`` (turns text into vectors) or ``base`` (a knowledge
    base that answers as a model). ``state``: ``ready``, ``installed`` (loads on first use),
    ``loading``, ``remote`` or ``missing``.
    """

    name: str
    kind: Literal["chat", "embedding", "base"]
    state: Literal["ready", "installed", "loading", "remote", "missing"]
    owner: str = "banyan"
    context_length: int | None = None
    size_bytes: int | None = None
    licence: str | None = None
    note: str = ""
