"""What ``banyan doctor`` looks at: each check says how it stands and which command mends it."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from banyan.cli import output
from banyan.cli.options import new_context
from banyan.cli.session import opened
from banyan.core.errors import BanyanError
from banyan.core.settings import GIB, Settings
from banyan.models.catalogue import catalogue
from banyan.models.connections import Connections
from banyan.models.machine import Machine, port_is_free
from banyan.models.store import Store

LEAST_MEMORY_BYTES = 2 * GIB
LEAST_DISK_BYTES = 1 * GIB
COMPILERS = ("cc", "gcc", "clang")
COMPILED_FOR = "AVX-512 BF16"

State = Literal["ok", "note", "broken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """``note``: works, and could do better; ``broken``: something will not work."""

    name: str
    state: State
    detail: str
    mend: str = ""


def checks(machine: Machine, settings: Settings) -> Iterator[Check]:
    """Every check, the machine's first."""
    yield from _machine(machine)
    yield _port(settings)
    yield _engine()
    if COMPILED_FOR in machine.instruction_sets:
        yield _compiler()
    yield from _models(settings)
    yield _connections(settings)
    yield _knowledge(settings)


def _machine(machine: Machine) -> Iterator[Check]:
    linux = platform.system() == "Linux"
    yield Check(
        name="system",
        state="ok" if linux else "note",
        detail=f"{machine.system}, Python {machine.python}"
        + ("" if linux else "; Banyan is tested on Linux only"),
    )
    sets = ", ".join(machine.instruction_sets) or "no vector extensions known"
    yield Check(
        name="processor",
        state="ok",
        detail=f"{machine.processor}, {machine.cores:g} cores, {sets}",
    )
    yield _enough(
        "memory", machine.memory_available_bytes, LEAST_MEMORY_BYTES,
        f" free of {output.size(machine.memory_bytes)}",
    )  # fmt: skip
    yield _enough("disk", machine.disk_free_bytes, LEAST_DISK_BYTES, " free")
    gpus = ", ".join(f"{gpu.name}, {output.size(gpu.memory_bytes)}" for gpu in machine.gpus)
    driver = "an NVIDIA driver without listed devices" if machine.nvidia_driver else "none seen"
    yield Check(
        name="gpu",
        state="ok",
        detail=f"{gpus or driver} (models run on the processor in this version)",
    )


def _enough(name: str, free: int, least: int, words: str) -> Check:
    short = free < least
    return Check(
        name=name,
        state="note" if short else "ok",
        detail=output.size(free) + words + (f"; {output.size(least)} are wanted" if short else ""),
    )


def _port(settings: Settings) -> Check:
    place = f"{settings.host}:{settings.port}"
    if port_is_free(settings.host, settings.port):
        return Check(name="port", state="ok", detail=f"{place} is free")
    return Check(
        name="port",
        state="note",
        detail=f"{place} is in use (by Banyan itself, perhaps)",
        mend=f"banyan up --port {settings.port + 1}",
    )


def _engine() -> Check:
    missing = [name for name in ("torch", "tokenizers", "jinja2") if not _has(name)]
    if missing:
        return Check(
            name="engine",
            state="note",
            detail=f"{', '.join(missing)} not installed: no local language model runs",
            mend="pip install 'banyan-llm[engine]'",
        )
    return Check(name="engine", state="ok", detail=f"torch {metadata.version('torch')}")


def _compiler() -> Check:
    found = next(filter(None, map(shutil.which, COMPILERS)), None)
    if found is not None:
        return Check(name="compiler", state="ok", detail=f"{found} compiles the engine's kernels")
    return Check(
        name="compiler",
        state="note",
        detail="no C compiler: four-bit models decode half as fast as this processor can",
        mend="apt install gcc",
    )


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _models(settings: Settings) -> Iterator[Check]:
    store = Store(settings.home)
    installed = {model.name: model for model in store.installed()}
    for entry in catalogue().values():
        if not entry.default:
            continue
        here = entry.name in installed
        yield Check(
            name=f"model {entry.name}",
            state="ok" if here else "note",
            detail=f"{output.size(entry.size_bytes)}, {entry.licence}" if here else "not installed",
            mend="" if here else f"banyan models pull {entry.name}",
        )
    for problem in store.problems():
        yield Check(name="model", state="broken", detail=problem.detail, mend=problem.mend)
    for folder in store.strays():
        known = folder.name in catalogue()
        yield Check(
            name="model",
            state="note",
            detail=f"{folder} has no model.json and is not used",
            mend=f"banyan models {'pull' if known else 'add'} {folder.name if known else folder}",
        )


def _connections(settings: Settings) -> Check:
    try:
        names = [connection.name for connection in Connections(settings.home).list()]
    except BanyanError as error:
        return _broken("connections", error)
    detail = ", ".join(names) or "none"
    return Check(name="connections", state="ok", detail=detail)


def _knowledge(settings: Settings) -> Check:
    try:
        with opened(settings) as app:
            bases = app.library.bases(new_context())
    except BanyanError as error:
        return _broken("knowledge", error)
    failed = sum(base.failed for base in bases)
    detail = "; ".join(f"{base.id}: {base.documents} documents" for base in bases) or "no base yet"
    return Check(
        name="knowledge",
        state="note" if failed else "ok",
        detail=detail + (f"; {failed} could not be read" if failed else ""),
        mend="banyan knowledge documents" if failed else "",
    )


def _broken(name: str, error: BanyanError) -> Check:
    return Check(name=name, state="broken", detail=str(error), mend=error.remedy)
