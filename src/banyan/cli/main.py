"""banyan: the program's entry, its list of commands, and how every run of it ends.

Exit codes are those of ``core.errors``; 2 is also a wrong argument, 130 an interruption.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from banyan.cli import (
    ask,
    chat,
    cluster,
    cluster_status,
    doctor,
    keys,
    knowledge,
    models,
    output,
    plan,
    serve,
)
from banyan.cli.add import add
from banyan.cli.interruption import interruptible
from banyan.cli.options import AsJson, Invocation
from banyan.core.errors import BanyanError, InternalError, StoreError

app = typer.Typer(
    name="banyan",
    help="Run language models on your own machines, and ask your own documents.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit()


@app.callback()
def root(
    context: typer.Context,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> None:
    invocation: Invocation = context.obj
    invocation.debug = debug


def version(as_json: AsJson = False) -> None:
    """Print Banyan's version."""
    from banyan import __version__

    if as_json:
        output.emit({"version": __version__})
    else:
        output.print_text(f"banyan {__version__}")


app.command()(serve.up)
app.command()(add)
app.command()(ask.ask)
app.command()(ask.search)
app.command()(chat.chat)
app.command()(serve.serve)
app.command()(cluster.join)
app.command()(plan.plan)
app.add_typer(models.commands, name="models")
app.add_typer(knowledge.commands, name="knowledge")
app.add_typer(keys.commands, name="keys")
app.add_typer(cluster_status.commands, name="cluster")
app.command()(doctor.doctor)
app.command()(version)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit with its code."""
    invocation = Invocation()
    output.tolerant()
    with interruptible():
        try:
            app(args=arguments, obj=invocation, prog_name="banyan")
        except KeyboardInterrupt:
            sys.exit(128 + signal.SIGINT)
        except Exception as error:  # the process's border: a person gets no bare traceback
            if invocation.debug:
                traceback.print_exc()
            reported = _reported(error)
            output.show_error(reported, as_json=invocation.as_json)
            sys.exit(reported.exit_code)


def _reported(error: Exception) -> BanyanError:
    """The error as a person gets it: ours as it is, the system's and our faults by their names."""
    if isinstance(error, BanyanError):
        return error
    if isinstance(error, OSError) and error.filename:
        return StoreError(f"{error.filename}: {error.strerror}.")
    return InternalError(
        f"A fault of Banyan's own: {type(error).__name__}: {error}",
        remedy="`banyan --debug ...` shows where; please report it.",
    )


if __name__ == "__main__":
    main()
