"""banyan ask and banyan search: questions to a knowledge base."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from banyan.cli import output
from banyan.cli.answer import Answer, show_answer
from banyan.cli.conversation import last_conversation, remember_conversation
from banyan.cli.options import AsJson, Base, Home, Threads, new_context, settings
from banyan.cli.session import chosen_base, opened
from banyan.core.errors import InputError, LimitExceeded
from banyan.core.settings import Settings
from banyan.core.types import Passage

if TYPE_CHECKING:
    from banyan.knowledge.records import DocumentRecord

SNIPPET_CHARS = 300
MAX_RESULTS = 100

Question = Annotated[str, typer.Argument(help="The question; - reads it from standard input.")]


def ask(
    question: Question,
    base: Base = "",
    mode: Annotated[
        Literal["auto", "extractive", "model"],
        typer.Option("--mode", help="auto, extractive (quoted sentences) or model."),
    ] = "auto",
    go_on: Annotated[
        bool, typer.Option("--continue", "-c", help="Go on with the conversation before.")
    ] = False,
    home: Home = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Answer a question from a knowledge base, every sentence with its source.

    A question the documents do not answer is refused; that is an answer too (exit code 0, and
    "refused": true in JSON). One question does not wait for the reranking model to load; the
    server, which keeps it loaded, reranks.
    """
    found = settings(home, threads=threads, rerank=False)
    text = read_question(question, found)
    with opened(found) as app:
        context = new_context()
        before = last_conversation(found.home, base) if go_on else None
        base = before.base if before else chosen_base(app, base, context)
        conversation = before.id if before else None
        events = app.library.ask(text, base, context, conversation_id=conversation, mode=mode)
        answer = Answer(question=text, base=base)
        for event in events:
            answer.take(event)
            if not as_json:
                show_answer(event)
        paths = _paths(app.library.documents(base, context), answer)
        if as_json:
            output.emit(answer.as_json(paths))
        else:
            answer.show_sources(paths)
        remember_conversation(found.home, base, answer.conversation_id)


def search(
    question: Question,
    base: Base = "",
    count: Annotated[
        int, typer.Option("-k", "--count", min=1, max=MAX_RESULTS, help="Passages to show.")
    ] = 10,
    home: Home = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Find the passages of a knowledge base that bear on a question."""
    found = settings(home, threads=threads, rerank=False)
    text = read_question(question, found)
    with opened(found) as app:
        context = new_context()
        base = chosen_base(app, base, context)
        passages = app.library.search(text, base, context, k=count)
        if as_json:
            output.emit({"question": text, "base": base, "passages": passages})
            return
        for number, passage in enumerate(passages, 1):
            _show_passage(number, passage)
        if not passages:
            output.print_text("Nothing was found.")


def read_question(question: str, found: Settings) -> str:
    """The question itself or, for ``-``, what stands on standard input."""
    allowed = found.max_question_chars
    text = sys.stdin.read(allowed + 1).strip() if question == "-" else question.strip()
    if not text:
        raise InputError("The question is empty.")
    if not output.is_text(text):
        raise InputError(
            "The question holds bytes that are no text.",
            remedy="See that the terminal writes UTF-8.",
        )
    if len(text) > allowed:
        raise LimitExceeded(
            "The question's length",
            limit="max_question_chars",
            value=len(text),
            allowed=allowed,
        )
    return text


def _paths(documents: list[DocumentRecord], answer: Answer) -> dict[str, str]:
    cited = {citation.document_id for citation in answer.citations}
    return {entry.id: entry.path for entry in documents if entry.id in cited}


def _show_passage(number: int, passage: Passage) -> None:
    headings = [heading for heading in passage.heading_path if heading != passage.title]
    place = " > ".join([passage.title, *headings])
    page = f", page {passage.page}" if passage.page else ""
    output.styled(f"[{number}] {place}{page}  ({passage.score:.3f})", "bold")
    text = " ".join(passage.text.split())
    shown = text if len(text) <= SNIPPET_CHARS else text[: SNIPPET_CHARS - 1] + "…"
    output.print_text(f"    {output.safe(shown)}")
