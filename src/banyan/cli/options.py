"""The options that commands share, and what every invocation remembers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from banyan.core.context import Context
from banyan.core.errors import InputError
from banyan.core.settings import Settings
from banyan.plan.hosts import memory_bytes

Choice = TypeVar("Choice", bound=str)


@dataclass(slots=True)
class Invocation:
    """How this run of the program reports: set while its options are read."""

    debug: bool = False
    as_json: bool = False


def _remember_json(context: typer.Context, value: bool) -> bool:
    invocation: Invocation = context.obj
    invocation.as_json = value
    return value


AsJson = Annotated[
    bool,
    typer.Option("--json", callback=_remember_json, help="Print JSON instead of text."),
]
Home = Annotated[
    Path | None,
    typer.Option("--home", help="Folder that holds models, knowledge and keys (BANYAN_HOME)."),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=0, help="Threads for computing; 0: all (BANYAN_THREADS)."),
]
DeviceMemory = Annotated[
    str | None,
    typer.Option(
        "--device-memory",
        help="Most memory each rank takes, such as 6GiB; layers beyond it are streamed"
        " (BANYAN_DEVICE_MEMORY_BYTES).",
    ),
]
HostMemory = Annotated[
    str | None,
    typer.Option(
        "--host-memory",
        help="Most host memory each rank on a card takes for streamed layers"
        " (BANYAN_HOST_MEMORY_BYTES).",
    ),
]
KvPrecision = Annotated[
    str | None,
    typer.Option(
        "--kv-precision",
        help="In what keys and values are kept: auto, bf16 or int8 (BANYAN_KV_PRECISION).",
    ),
]
Host = Annotated[
    str | None,
    typer.Option("--host", help="Address to listen on; any but loopback needs keys (BANYAN_HOST)."),
]
Port = Annotated[
    int | None,
    typer.Option("--port", min=0, max=65535, help="Port to listen on (BANYAN_PORT)."),
]
Base = Annotated[
    str,
    typer.Option("--base", "-b", help="Knowledge base; needed only where there are several."),
]


def settings(home: Path | None = None, **given: object) -> Settings:
    """The environment's settings with the options that were given (None: not given)."""
    found = Settings.from_environment()
    changes = {name: value for name, value in {"home": home, **given}.items() if value is not None}
    return replace(found, **changes).expanded()  # type: ignore[arg-type]  # checked by typer


def budget(device_memory: str | None, host_memory: str | None) -> dict[str, int | None]:
    """Both options as settings. Raises ``InputError`` for what is no amount of memory."""
    return {
        "device_memory_bytes": None if device_memory is None else memory_bytes(device_memory),
        "host_memory_bytes": None if host_memory is None else memory_bytes(host_memory),
    }


def new_context(base_id: str | None = None) -> Context:
    """The context of one command: the local user, who waits as long as it takes."""
    return Context(base_id=base_id)


def one_of(what: str, given: str, known: tuple[Choice, ...]) -> Choice:
    """``given`` as one of the words that are ``known``; raises ``InputError``."""
    for each in known:
        if given == each:
            return each
    raise InputError(f"{given!r} is not a {what}.", remedy=f"Choose {', '.join(known)}.")
