"""Write docs/reference/{cli,settings,errors}.md from the code (`make docs`).

`--check` writes nothing and exits with 1 when a page is not what the code says.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from banyan.cli.main import app
from banyan.core import errors
from banyan.core.settings import Settings, table

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reference"
GENERATED = "<!-- Written by `make docs` from the code; do not edit. -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, do not write")
    check = parser.parse_args().check
    stale = []
    for name, text in pages().items():
        path = FOLDER / name
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    for name in stale:
        print(f"{FOLDER.relative_to(ROOT) / name}: {'stale' if check else 'written'}")
    sys.exit(1 if check and stale else 0)


def pages() -> dict[str, str]:
    """Every generated page by its file name."""
    return {
        "cli.md": "\n".join(_cli()) + "\n",
        "errors.md": "\n".join(_errors()) + "\n",
        "settings.md": "\n".join(_settings()) + "\n",
    }


def _cli() -> Iterator[str]:
    root = typer.main.get_command(app)
    yield from ("# The command line", "", GENERATED, "")
    yield (
        "`banyan COMMAND --help` prints the same. Results go to standard output, progress and "
        "messages to standard error. `--json` prints one JSON document, or one JSON value a line "
        "where results stream. Colours and progress bars appear on a terminal only, and not with "
        "`NO_COLOR`."
    )
    yield from ("", "Before any command: `--debug` shows where an error came from.", "")
    yield from ("## Exit codes", "", "| code | meaning |", "|---|---|", "| 0 | done |")
    for code, meaning in _exit_codes():
        yield f"| {code} | {meaning} |"
    yield from ("", "A second Ctrl-C ends the program at once.")
    for path, command in _commands(root, "banyan"):
        yield from _command(path, command)


def _exit_codes() -> list[tuple[int, str]]:
    codes: dict[int, list[str]] = {}
    for kind in _tree(errors.BanyanError):
        codes.setdefault(kind.exit_code, []).append(_code(kind))
    said = {
        1: "a fault of Banyan's own; `banyan doctor` found something broken; a question to you "
        "was answered with no",
        2: "the command, an option or what it was given is wrong",
        130: "interrupted by Ctrl-C",
    }
    rows = []
    for code, names in sorted(codes.items()):
        listed = ", ".join(f"`{name}`" for name in names if name != "banyan_error")
        rows.append((code, said.get(code, "") + (f" ({listed})" if code in said else listed)))
    return [*rows, (143, "ended by SIGTERM")]


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command below one, groups included, in the order of the help."""
    for name, inner in getattr(command, "commands", {}).items():
        yield f"{path} {name}", inner
        yield from _commands(inner, f"{path} {name}")


def _command(path: str, command: Any) -> Iterator[str]:
    group = bool(getattr(command, "commands", None))
    yield from ("", f"{'##' if group or path.count(' ') == 1 else '###'} {path}", "")
    yield inspect.cleandoc(command.help or "")
    if group:
        return
    shown = [param for param in command.params if param.name != "help"]
    arguments = [param for param in shown if param.param_type_name == "argument"]
    usage = " ".join([path, "[OPTIONS]", *(_metavar(argument) for argument in arguments)])
    yield from ("", "```", usage, "```", "", "| | | default |", "|---|---|---|")
    for param in shown:
        names = _metavar(param) if param in arguments else ", ".join(param.opts)
        yield f"| `{names}` | {param.help or ''} | {_default(param)} |"


def _metavar(argument: Any) -> str:
    name = str(argument.name).upper()
    name = name + "..." if argument.nargs == -1 else name
    return name if argument.required else f"[{name}]"


def _default(param: Any) -> str:
    if param.required:
        return "required"
    if param.default in (None, "", False, ()) or callable(param.default):
        return ""
    return f"`{param.default}`"


def _settings() -> Iterator[str]:
    yield from ("# Settings", "", GENERATED, "")
    yield (
        "Each is an environment variable; some are options of the commands too. An unknown "
        "`BANYAN_...` is an error. `banyan doctor --settings` prints the values in force. Sizes "
        "are bytes, times are seconds."
    )
    yield from ("", "| variable | default | what it is |", "|---|---|---|")
    shown = {name: default for name, default, _ in table()}
    for name, _, text in table():
        yield f"| `{name}` | {_value(shown[name])} | {text} |"
    yield from ("", f"{len(shown)} settings, fields of `{Settings.__module__}.Settings`.")


def _value(default: object) -> str:
    return f"`{default}`" if default != "" else "empty"


def _errors() -> Iterator[str]:
    yield from ("# Errors", "", GENERATED, "")
    yield (
        'Every failure has a stable `code`, a message and a remedy: `{"error": {"code", "message", '
        '"remedy"}}` over HTTP and with `--json`, `error: message` and `→ remedy` on a terminal.'
    )
    yield from (
        "",
        "| code | who must act | HTTP | exit | what it means |",
        "|---|---|---|---|---|",
    )
    for kind in _tree(errors.BanyanError):
        if kind is not errors.BanyanError:
            meaning = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].replace("\n", " ")
            row = (f"`{_code(kind)}`", kind.actor, kind.http_status, kind.exit_code, meaning)
            yield f"| {' | '.join(map(str, row))} |"


def _tree(root: type[errors.BanyanError]) -> Iterator[type[errors.BanyanError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _tree(kind)


def _code(kind: type[errors.BanyanError]) -> str:
    return kind.__new__(kind).code


if __name__ == "__main__":
    main()
