"""What may come in over ``/v1``: OpenAI's requests, with the extensions local servers share.

What changes the output and is not supported is refused by name; what changes nothing here (and is
listed below, one by one) is accepted; everything else is unknown and refused. A field that is null
counts as absent.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from banyan.core.errors import UnsupportedOption
from banyan.core.types import Message, Sampling

MAX_STOPS = 16
MAX_TOP_LOGPROBS = 20
MAX_PROMPTS = 64
MAX_INPUTS = 2048
COMPLETION_TOKENS = 16
"""OpenAI's default length of ``/v1/completions``."""

_NEUTRAL: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "reasoning_effort": (),
    "verbosity": ("medium",),
    "web_search_options": (),
    "suffix": ("",),
}
"""Options that would change the output, and the values with which they do not."""


class Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class StreamOptions(Wire):
    include_usage: bool = False
    include_obfuscation: bool = False


class _Request(Wire):
    """What every request may carry: ``model``, and fields that change nothing here."""

    model: Annotated[str, Field(min_length=1, max_length=500)]
    user: object = None
    metadata: object = None
    store: object = None
    service_tier: object = None
    safety_identifier: object = None
    prompt_cache_key: object = None
    prompt_cache_retention: object = None
    parallel_tool_calls: object = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_changes_the_output(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        for name, neutral in _NEUTRAL.items():
            value = given.get(name)
            if value is not None and value not in neutral:
                raise UnsupportedOption(
                    f"{name} is not supported with this value.",
                    remedy="Leave it out.",
                    field=name,
                )
        return {
            name: value
            for name, value in given.items()
            if value is not None and name not in _NEUTRAL
        }


class _Generation(_Request):
    """The options that a chat and a completion share."""

    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    max_tokens: Annotated[int | None, Field(ge=0, le=1_000_000)] = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=-1)] = 0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0.0
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] = 1.0
    seed: Annotated[int | None, Field(ge=-(2**63), lt=2**64)] = None
    stop: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=MAX_STOPS)] = []

    @field_validator("stop", mode="before")
    @classmethod
    def _one_or_many(cls, given: object) -> object:
        return [given] if isinstance(given, str) else given

    def sampling(self, *, max_tokens: int | None, logprobs: int | None, echo: bool) -> Sampling:
        """The engine's view of the options (``top_k`` -1, as some clients write it, is off)."""
        return Sampling(
            max_tokens=max_tokens,
            temperature=self.temperature,
            top_k=max(0, self.top_k),
            top_p=self.top_p,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            stop=tuple(self.stop),
            seed=self.seed,
            logprobs=logprobs,
            echo=echo,
        )


class TextPart(Wire):
    type: Literal["text"]
    text: str


class Turn(Wire):
    """One message. What a reply of ours carries beside its text may come back, empty."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[list[TextPart], Field(max_length=1000)] = []

    @model_validator(mode="before")
    @classmethod
    def _drop_what_is_empty(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value not in (None, [], {})}

    @field_validator("content", mode="before")
    @classmethod
    def _text_or_parts(cls, given: object) -> object:
        return [{"type": "text", "text": given}] if isinstance(given, str) else given

    def message(self) -> Message:
        role = "system" if self.role == "developer" else self.role
        return Message(role=role, content="".join(part.text for part in self.content))


class ChatCompletion(_Generation):
    messages: Annotated[list[Turn], Field(min_length=1, max_length=1000)]
    max_completion_tokens: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    logprobs: bool = False
    top_logprobs: Annotated[int | None, Field(ge=0, le=MAX_TOP_LOGPROBS)] = None

    @model_validator(mode="after")
    def _logprobs_agree(self) -> ChatCompletion:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs to be true")
        return self

    def chat_sampling(self) -> Sampling:
        limit = (
            self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
        )
        logprobs = (self.top_logprobs or 0) if self.logprobs else None
        return self.sampling(max_tokens=limit, logprobs=logprobs, echo=False)


class Completion(_Generation):
    prompt: Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS)]
    echo: bool = False
    logprobs: Annotated[int | None, Field(ge=0, le=MAX_TOP_LOGPROBS)] = None

    @field_validator("prompt", mode="before")
    @classmethod
    def _one_or_many(cls, given: object) -> object:
        if isinstance(given, list) and any(not isinstance(item, str) for item in given):
            raise UnsupportedOption(
                "prompt must be text; token ids are not supported.", field="prompt"
            )
        return [given] if isinstance(given, str) else given

    def completion_sampling(self) -> Sampling:
        limit = COMPLETION_TOKENS if self.max_tokens is None else self.max_tokens
        return self.sampling(max_tokens=limit, logprobs=self.logprobs, echo=self.echo)


class Embeddings(_Request):
    input: Annotated[
        list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=MAX_INPUTS)
    ]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int | None, Field(ge=1)] = None

    @field_validator("input", mode="before")
    @classmethod
    def _one_or_many(cls, given: object) -> object:
        if isinstance(given, list) and any(not isinstance(item, str) for item in given):
            raise UnsupportedOption(
                "input must be text; token ids are not supported.", field="input"
            )
        return [given] if isinstance(given, str) else given
