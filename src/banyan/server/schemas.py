"""What may come in over the product's API: strict, and nothing that is not named here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from banyan.core.types import Message, Sampling

MAX_MESSAGES = 500
MAX_PASSAGES = 100

Identifier = Annotated[str, Field(min_length=1, max_length=200)]


class Body(BaseModel):
    """The root of every body: strict types, no unknown fields, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Nothing(Body):
    """``{}``."""


class Login(Body):
    key: Annotated[str, Field(min_length=1, max_length=200)]


class Pull(Body):
    """``accept_licence`` names the terms that were accepted, where a model has some."""

    name: Identifier
    accept_licence: Annotated[str, Field(max_length=100)] = ""


class Connect(Body):
    """``model`` empty: the first one the server offers."""

    url: Annotated[str, Field(min_length=1, max_length=2000)]
    key: Annotated[str, Field(max_length=1000)] = ""
    model: Annotated[str, Field(max_length=200)] = ""


class AnswerModel(Body):
    """``name`` empty: answers are the best sentences, quoted."""

    name: Annotated[str, Field(max_length=200)]


class NewBase(Body):
    id: Identifier
    title: Annotated[str, Field(min_length=1, max_length=200)]


class Search(Body):
    base: Identifier
    question: Annotated[str, Field(min_length=1)]
    k: Annotated[int, Field(ge=1, le=MAX_PASSAGES)] = 10


class Ask(Body):
    base: Identifier
    question: Annotated[str, Field(min_length=1)]
    conversation_id: Annotated[str | None, Field(max_length=100)] = None
    mode: Literal["auto", "extractive", "model"] = "auto"


class ChatMessage(Body):
    role: Literal["system", "user", "assistant"]
    content: str

    def message(self) -> Message:
        return Message(role=self.role, content=self.content)


class Chat(Body):
    model: Identifier
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_tokens: Annotated[int | None, Field(ge=1)] = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7

    def sampling(self) -> Sampling:
        return Sampling(max_tokens=self.max_tokens, temperature=self.temperature)
