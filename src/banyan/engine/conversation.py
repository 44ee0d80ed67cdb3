"""A conversation as tokens, such that nothing anyone said can pass for the template's own marks.

A chat template marks turns by special tokens (``<|im_end|>``). Text that merely contains their
names, a pasted transcript or an attack, must stay text: otherwise it could end its turn and speak
in another role.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from banyan.core.errors import InputError
from banyan.core.types import Message
from banyan.engine.template import ChatTemplate
from banyan.engine.tokenizer import Tokenizer


def encode_conversation(
    messages: Sequence[Message], template: ChatTemplate, tokenizer: Tokenizer
) -> tuple[str, list[int]]:
    """The rendered conversation and its tokens.

    Raises ``InputError`` when the template refuses the conversation, or rewrites a message that
    holds the name of a special token (then it cannot be told apart).
    """
    text = template.render(messages)
    if not any(_names_special_token(message.content, tokenizer) for message in messages):
        return text, tokenizer.encode(text, special=True)
    tokens: list[int] = []
    for part, is_template in _parted(text, messages, template):
        tokens += tokenizer.encode(part, special=is_template)
    return text, tokens


def _names_special_token(content: str, tokenizer: Tokenizer) -> bool:
    return tokenizer.encode(content, special=True) != tokenizer.encode(content, special=False)


def _parted(
    text: str, messages: Sequence[Message], template: ChatTemplate
) -> Iterator[tuple[str, bool]]:
    """The rendered text in order, each part with whether the template wrote it.

    Rendering stand-ins shows what the template writes around the messages.
    """
    stand_ins = [replace(m, content=f"\0{place}\0") for place, m in enumerate(messages)]
    frame = template.render(stand_ins)
    at = 0
    for message, stand_in in zip(messages, stand_ins, strict=True):
        before, found, frame = frame.partition(stand_in.content)
        content = message.content
        if not text.startswith(before + content, at):
            content = content.strip()
        if not (found and text.startswith(before + content, at)):
            raise _refusal()
        yield before, True
        yield content, False
        at += len(before) + len(content)
    if text[at:] != frame:
        raise _refusal()
    yield frame, True


def _refusal() -> InputError:
    return InputError(
        "A message holds the name of one of the model's special tokens, and its chat template "
        "rewrites messages.",
        remedy="Leave the token's name out of the message.",
    )
