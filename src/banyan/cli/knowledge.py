"""banyan knowledge: managing knowledge bases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from banyan.cli import output
from banyan.cli.options import AsJson, Base, Home, new_context, settings
from banyan.cli.progress import drawn
from banyan.cli.session import chosen_base, opened
from banyan.core.context import Context
from banyan.core.errors import Conflict, InputError
from banyan.core.events import Progress

if TYPE_CHECKING:
    from banyan.knowledge.ask import Mode
    from banyan.knowledge.evaluate import GoldQuestion, Outcome, Report
    from banyan.knowledge.library import Library

commands = typer.Typer(help="Knowledge bases: list, create, remove, measure, export, import.")

BaseId = Annotated[str, typer.Argument(help="The knowledge base's id.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@commands.command("bases")
def list_bases(home: Home = None, as_json: AsJson = False) -> None:
    """List the knowledge bases."""
    with opened(settings(home)) as app:
        bases = app.library.bases(new_context())
    if as_json:
        output.emit({"bases": bases})
        return
    rows = [(b.id, b.title, b.documents, b.chunks, b.failed) for b in bases]
    output.table(["ID", "TITLE", "DOCUMENTS", "PASSAGES", "FAILED"], rows)


@commands.command()
def create(
    base: BaseId,
    title: Annotated[str, typer.Option("--title", help="What people see; default: the id.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Create an empty knowledge base."""
    with opened(settings(home)) as app:
        made = app.library.create_base(base, title or base, new_context())
    if as_json:
        output.emit(made)
    else:
        output.print_text(f"Created {made.id}.")


@commands.command()
def remove(base: BaseId, yes: Yes = False, home: Home = None, as_json: AsJson = False) -> None:
    """Remove a knowledge base with everything in it."""
    with opened(settings(home)) as app:
        context = new_context()
        chosen_base(app, base, context)
        _confirm(f"Remove {base} and all its documents?", yes)
        app.library.remove_base(base, context)
    if as_json:
        output.emit({"removed": base})
    else:
        output.print_text(f"Removed {base}.")


@commands.command()
def documents(base: Base = "", home: Home = None, as_json: AsJson = False) -> None:
    """List the documents of a base, failed ones with their reason."""
    with opened(settings(home)) as app:
        context = new_context()
        base = chosen_base(app, base, context)
        records = app.library.documents(base, context)
    if as_json:
        output.emit({"base": base, "documents": records})
        return
    rows = [
        (r.id, r.status, r.pages or "", r.chunks, r.language, r.title or r.path, r.reason)
        for r in records
    ]
    output.table(["ID", "STATUS", "PAGES", "PASSAGES", "LANGUAGE", "TITLE", "REASON"], rows)


@commands.command()
def delete(
    document: Annotated[str, typer.Argument(help="The document's id (`knowledge documents`).")],
    yes: Yes = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Delete one document from its base."""
    with opened(settings(home)) as app:
        context = new_context()
        record, _ = app.library.document(document, context)
        _confirm(f"Delete {record.title or record.path}?", yes)
        app.library.delete(document, context)
    if as_json:
        output.emit({"deleted": document})
    else:
        output.print_text(f"Deleted {record.title or record.path}.")


@commands.command("eval")
def measure(
    questions: Annotated[
        Path, typer.Argument(help="JSON lines: question, answer, and answerable: false for some.")
    ],
    base: Base = "",
    model: Annotated[
        str, typer.Option("--model", help="Let this model write the answers instead.")
    ] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Measure the answers of a base on your own questions, quoted or written by a model.

    A line is {"question": ..., "answer": words the answer must hold, "document": its path} or
    {"question": ..., "answerable": false}.
    """
    from banyan.knowledge import evaluate

    rows = evaluate.read_questions(questions)
    with opened(settings(home), answer_model=model or None) as app:
        if model:
            app.chat_model(model)  # an unknown one is an error before the first question
        context = new_context()
        base = chosen_base(app, base, context)
        outcomes = list(drawn(_asked(app.library, base, rows, context, by_model=bool(model))))
    result = evaluate.report(outcomes)
    if as_json:
        output.emit(result)
        return
    _show(result)


def _asked(
    library: Library,
    base: str,
    rows: Sequence[GoldQuestion],
    context: Context,
    *,
    by_model: bool,
) -> Iterator[Progress | Outcome]:
    from banyan.knowledge import evaluate

    mode: Mode = "model" if by_model else "extractive"
    for number, outcome in enumerate(evaluate.evaluate(library, base, rows, context, mode=mode)):
        yield outcome
        yield Progress(stage="ask", done=number + 1, total=len(rows), item=outcome.gold.text[:40])


def _show(result: Report) -> None:
    """The shares, and the wrong outcomes one a line."""
    output.facts(
        [
            ("questions", result.questions),
            ("answered", result.answered),
            ("document found", _percent(result.hit)),
            ("first sentence right", _percent(result.sentence_hit)),
            ("answer right", _percent(result.answer_hit)),
            ("refusal precision", _percent(result.refusal_precision)),
            ("refusal recall", _percent(result.refusal_recall)),
            ("seconds per answer", f"{result.seconds_per_answer:.2f}"),
        ]
    )
    for outcome in result.worst:
        output.print_text(f"✗ {outcome.gold.text} · {outcome.fault}")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


@commands.command("export")
def export_base(
    base: BaseId,
    target: Annotated[Path, typer.Argument(help="The new file to write.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Write a base, its vectors included, into one file."""
    if target.exists():
        raise Conflict(f"{target} exists already.", remedy="Give the name of a new file.")
    with opened(settings(home)) as app:
        app.library.export(base, target, new_context())
    if as_json:
        output.emit({"exported": base, "path": target, "size_bytes": target.stat().st_size})
    else:
        output.print_text(f"Exported {base} to {target} ({output.size(target.stat().st_size)}).")


@commands.command("import")
def import_base(
    source: Annotated[Path, typer.Argument(help="A file that `export` wrote.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Create the base that an exported file holds."""
    if not source.is_file():
        raise InputError(f"There is no file {source}.")
    with opened(settings(home)) as app:
        base = app.library.import_(source, new_context())
    if as_json:
        output.emit(base)
    else:
        output.print_text(f"Imported {base.id}: {base.documents} documents.")


def _confirm(question: str, yes: bool) -> None:
    """Ask on a terminal; where nobody can answer, demand ``--yes``."""
    if not yes and not output.can_ask():
        raise InputError("This removes something.", remedy="Say --yes.")
    if not yes:
        typer.confirm(question, abort=True, err=True)
