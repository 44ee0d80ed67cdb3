"""banyan chat: a conversation with a model itself, in a terminal or through a pipe."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from banyan.cli import output
from banyan.cli.interruption import interruptible
from banyan.cli.options import AsJson, Home, Threads, new_context, settings
from banyan.cli.session import opened
from banyan.core.events import GenerationDone, TokenReady, to_json
from banyan.core.types import Message, Sampling

if TYPE_CHECKING:
    from banyan.core.ports import ChatModel

PROMPT = "> "
BLOCK = '"""'
HELP = f"/exit ends, /new forgets, {BLOCK} begins and ends a text of several lines."


def chat(
    model: Annotated[str, typer.Argument(help="A model's name; default: BANYAN_CHAT_MODEL.")] = "",
    system: Annotated[str, typer.Option("--system", help="What the model is told first.")] = "",
    temperature: Annotated[
        float, typer.Option("--temperature", min=0.0, max=2.0, help="0 always takes the likeliest.")
    ] = 0.7,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=1, help="Longest reply, in tokens.")
    ] = 1024,
    seed: Annotated[int | None, typer.Option("--seed", help="Makes replies repeatable.")] = None,
    home: Home = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Talk with a model. What comes through a pipe is one message, and the reply is printed.

    Ctrl-C stops a reply; at the prompt, Ctrl-D or /exit ends the conversation.
    """
    found = settings(home, threads=threads)
    sampling = Sampling(temperature=temperature, max_tokens=max_tokens, seed=seed)
    start = [Message(role="system", content=system)] if system else []
    with opened(found) as app:
        name = model or found.chat_model
        talker = app.chat_model(name)
        if not sys.stdin.isatty():
            text = sys.stdin.read().strip()
            if text:
                _reply(talker, [*start, Message(role="user", content=text)], sampling, as_json)
            return
        output.note(f"{name}. {HELP}")
        _converse(talker, start, sampling, as_json)


def _converse(talker: ChatModel, start: list[Message], sampling: Sampling, as_json: bool) -> None:
    turns = list(start)
    for text in _typed():
        if text == "/new":
            turns = list(start)
            output.note("Forgotten.")
            continue
        asked = [*turns, Message(role="user", content=text)]
        try:
            with interruptible():
                reply = _reply(talker, asked, sampling, as_json)
        except KeyboardInterrupt:
            output.note("\nStopped.")
            continue
        turns = [*asked, Message(role="assistant", content=reply)]


def _typed() -> Iterator[str]:
    """What is typed, message by message, until /exit or the end of input."""
    with suppress(ImportError):  # without it the prompt works, but has no history
        importlib.import_module("readline")
    while True:
        try:
            line = input(PROMPT).strip()
            if line.startswith(BLOCK):
                line = _block(line.removeprefix(BLOCK))
        except EOFError:
            output.print_text()
            return
        if line in {"/exit", "/quit"}:
            return
        if line.startswith("/") and line != "/new":
            output.note(HELP)
        elif line:
            yield line


def _block(first: str) -> str:
    lines = [first]
    while not lines[-1].rstrip().endswith(BLOCK):
        lines.append(input())
    return "\n".join(lines).rstrip().removesuffix(BLOCK).strip()


def _reply(talker: ChatModel, messages: list[Message], sampling: Sampling, as_json: bool) -> str:
    pieces: list[str] = []
    for event in talker.chat(messages, sampling, new_context()):
        if as_json:
            output.emit_line(to_json(event))
        elif isinstance(event, TokenReady):
            output.print_text(output.safe(event.text), end="")
        if isinstance(event, TokenReady):
            pieces.append(event.text)
        elif isinstance(event, GenerationDone) and event.finish_reason == "length":
            output.note("\n(cut off at --max-tokens)")
    if not as_json:
        output.print_text()
    return "".join(pieces)
