"""Chat templates: a conversation as the text a model was taught to continue.

Templates are programs (Jinja) that come with a checkpoint, from strangers: they run in the sandbox,
without access to anything but the messages.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from banyan.core.errors import InputError, UnsupportedModel
from banyan.core.types import Message
from banyan.engine.checkpoint import find_gguf
from banyan.engine.gguf import GgufFile
from banyan.engine.metadata import Metadata, read_json
from banyan.engine.slice_file import SUFFIX, open_lexicon


class _Generation(Extension):
    """``{% generation %}``: marks the assistant's words for training; here its content alone."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return CallBlock(self.call_method("_content"), [], [], body).set_lineno(line)

    def _content(self, caller: Macro) -> str:
        return str(caller())


class ChatTemplate:
    """One model's template with its names for the first and the last token."""

    def __init__(self, source: str, *, bos_token: str = "", eos_token: str = "") -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = _now
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise UnsupportedModel(f"The model's chat template cannot be read: {error}.") from None
        self.source = source
        self.bos_token = bos_token
        self.eos_token = eos_token

    @classmethod
    def load(cls, path: Path) -> ChatTemplate:
        """The template of a GGUF file, a Hugging Face folder or the slice of a rank 0.

        Raises ``UnsupportedModel`` when the model has none: it continues text, it does not chat.
        """
        if path.suffix == SUFFIX:
            found = _of_slice(path)
        else:
            gguf = find_gguf(path)
            found = _of_gguf(gguf) if gguf is not None else _of_folder(path)
        if found is None:
            raise UnsupportedModel(
                f"{path.name} has no chat template: it continues text and knows no turns.",
                remedy="Use /v1/completions, or an instruction-tuned variant of the model.",
            )
        return found

    def render(self, messages: Sequence[Message]) -> str:
        """The conversation and the opening of the assistant's turn.

        Raises ``InputError`` when the template does not take such a conversation.
        """
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return self._template.render(
                messages=turns,
                add_generation_prompt=True,
                bos_token=self.bos_token,
                eos_token=self.eos_token,
            )
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise InputError(
                f"The model's chat template refuses this conversation: {error}.",
                remedy="Most models want user and assistant in turn, system only first.",
            ) from None


def _of_gguf(path: Path) -> ChatTemplate | None:
    file = GgufFile(path)
    values = Metadata(file, path.name)
    if not values.has("tokenizer.chat_template"):
        return None
    tokens = values.texts("tokenizer.ggml.tokens")

    def name(kind: str) -> str:
        key = f"tokenizer.ggml.{kind}_token_id"
        index = values.integer(key) if values.has(key) else -1
        return tokens[index] if 0 <= index < len(tokens) else ""

    source = values.text("tokenizer.chat_template")
    return ChatTemplate(source, bos_token=name("bos"), eos_token=name("eos"))


def _of_slice(path: Path) -> ChatTemplate | None:
    lexicon = open_lexicon(path)
    if not lexicon.template:
        return None
    return ChatTemplate(lexicon.template, bos_token=lexicon.bos_token, eos_token=lexicon.eos_token)


def _of_folder(folder: Path) -> ChatTemplate | None:
    path = folder / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else Metadata({}, path.name)
    source = _source(folder, config)
    if source is None:
        return None
    return ChatTemplate(
        source,
        bos_token=_token_name(config, "bos_token"),
        eos_token=_token_name(config, "eos_token"),
    )


def _source(folder: Path, config: Metadata) -> str | None:
    own_file = folder / "chat_template.jinja"
    if own_file.is_file():
        return own_file.read_text(encoding="utf-8")
    if not config.has("chat_template"):
        return None
    if not config.is_list("chat_template"):
        return config.text("chat_template")
    named = {part.text("name"): part.text("template") for part in config.parts("chat_template")}
    return named.get("default")


def _token_name(config: Metadata, key: str) -> str:
    if not config.has(key):
        return ""
    return config.part(key).text("content") if config.is_object(key) else config.text(key)


def _to_json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _now(pattern: str) -> str:
    return datetime.now().strftime(pattern)
